"""From scores to a report."""

"""Methods times clips: scores."""

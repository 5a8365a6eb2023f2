"""What the commands print: progress, tables, JSON, reports."""

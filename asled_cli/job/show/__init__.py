"""What people look at beside the result: the compare clip and the report page."""

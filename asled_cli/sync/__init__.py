"""When: the time offset between two clips."""

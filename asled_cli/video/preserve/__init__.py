"""What a result must keep of its source: tracks, metadata, and the check of it."""

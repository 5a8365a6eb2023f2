"""Resume an interrupted job."""

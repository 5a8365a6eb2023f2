"""Image and video quality metrics with their protocols."""

"""From clips to training samples."""

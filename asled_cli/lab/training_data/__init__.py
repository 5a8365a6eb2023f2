"""Clips to training samples."""

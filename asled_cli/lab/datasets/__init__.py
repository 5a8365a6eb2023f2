"""Clips and image sequences on disk."""

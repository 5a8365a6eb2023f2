"""Clips and picture sequences on disk."""

"""Preservation of everything but the picture: tracks, metadata, and the check of a copy."""

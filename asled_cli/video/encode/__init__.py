"""Encode: frames to file, segments, remux."""

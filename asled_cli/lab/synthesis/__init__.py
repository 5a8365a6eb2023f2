"""Synthetic blur: sharp frames to blurred pairs."""

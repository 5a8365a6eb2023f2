"""Homographies, lenses and the canvas of the reference."""

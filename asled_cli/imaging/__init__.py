"""Pixels without meaning: light, homographies, warps and optical flow."""

"""The registered reference of each frame."""

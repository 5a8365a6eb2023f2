"""How motion blurs a frame, and the inverse."""

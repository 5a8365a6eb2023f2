"""Blur found from the frames alone, where the path through their positions does not tell it."""

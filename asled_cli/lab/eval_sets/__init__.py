"""Fixed synthetic evaluation sets."""

"""Checks of a copy against its source: picture description, pictures, tracks."""

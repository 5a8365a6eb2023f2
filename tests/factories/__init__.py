"""Makers of clips, pictures and pairs for the tests."""

"""Scores of every method on every clip."""

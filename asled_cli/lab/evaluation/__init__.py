"""Scores to a report."""

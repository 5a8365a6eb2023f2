"""Estimators: one unknown per file."""

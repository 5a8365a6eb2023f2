"""Damaged and hostile clips made by code, all seeded."""

"""Synthetic blur: blurred pairs from sharp frames."""

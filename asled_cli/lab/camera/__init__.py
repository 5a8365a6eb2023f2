"""The simulated phone camera."""

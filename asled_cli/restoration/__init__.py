"""What to change: from an aligned frame to its restoration."""

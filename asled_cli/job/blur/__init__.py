"""What is known of the blur along a clip."""

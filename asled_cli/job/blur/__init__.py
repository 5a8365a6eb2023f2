"""What is known of the blur along a clip, and the plan that follows from it."""

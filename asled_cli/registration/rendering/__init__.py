"""The render pass: for each target frame, the reference warped onto it, with confidence and motion."""

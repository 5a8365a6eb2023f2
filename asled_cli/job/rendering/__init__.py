"""The render pass: every frame once through all stages, in this process or in several."""

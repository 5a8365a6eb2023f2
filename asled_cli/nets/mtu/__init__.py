"""MTU: one clip alone in real time, by stacked multi-task units."""

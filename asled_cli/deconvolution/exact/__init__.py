"""The exact operator of an exposure and an iterative solver: slow, right at borders and for any motion."""

"""Blur of scenes whose parts move unlike each other: motion by dense flow instead of the camera's path."""

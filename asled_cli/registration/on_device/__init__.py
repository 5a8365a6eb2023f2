"""The render pass on a GPU: what `rendering` does to full pictures by OpenCV, by torch on any device."""

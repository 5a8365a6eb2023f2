"""IFAN: deblur frames that are out of focus, by iterative filter-adaptive convolution."""

"""Deblurring of spatial video: each view with the help of the other one, joined to spatial video again."""

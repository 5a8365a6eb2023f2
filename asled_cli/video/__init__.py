"""Video files: decode, encode, and preserve what is not the picture."""

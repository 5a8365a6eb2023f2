"""Records of what the analysis found."""

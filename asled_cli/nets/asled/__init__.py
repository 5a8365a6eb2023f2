"""AsLeD-Net (NeurIPS 2025), one folder for one paper."""

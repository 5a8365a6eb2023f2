"""Files to frames and back; knows nothing of networks."""

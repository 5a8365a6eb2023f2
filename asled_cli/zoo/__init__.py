"""Published networks: find, verify, load."""

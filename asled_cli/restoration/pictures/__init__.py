"""Full pictures on the CPU or a device: the input of a network, and what is done to its changes."""

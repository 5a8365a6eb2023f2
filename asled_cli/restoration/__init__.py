"""Restoration: from aligned frames to the changes of the target."""

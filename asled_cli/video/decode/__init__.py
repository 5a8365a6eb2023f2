"""Decode: file to frames, two streams to pairs."""

"""Synthesis of training data, training, and evaluation of networks."""

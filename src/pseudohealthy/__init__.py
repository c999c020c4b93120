"""Pseudo-healthy synthesis of brain MRI: the same person's image as if healthy, and a map of the disease."""

__version__ = "0.1.0"

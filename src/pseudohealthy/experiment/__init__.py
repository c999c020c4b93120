"""Whole experiments: what is done, in which order, on which data."""

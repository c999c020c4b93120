"""The one training loop, and the folder that a run writes."""

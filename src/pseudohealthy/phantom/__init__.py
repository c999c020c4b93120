"""The embedded data set: synthetic patients whose true healthy image is known."""

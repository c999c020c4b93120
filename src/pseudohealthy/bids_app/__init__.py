"""A whole BIDS data set: every image processed, recorded and reported on."""

"""Performance as ratios to something measured beside it in the same process."""

"""From files to slices, and back."""

"""What a method draws its batches from."""

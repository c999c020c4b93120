"""What makes results and documents out of trainings and results files."""

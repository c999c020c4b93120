"""What is measured, on which slices, and of whose outputs: networks and arrays meet here."""

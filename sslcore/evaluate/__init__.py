"""What a representation is worth: probe, kNN, geometry, and its picture."""

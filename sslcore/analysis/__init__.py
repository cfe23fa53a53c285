"""What the runs' folders say when they are read together."""

"""The candidates of each step, how they fared on the validation split, and which was chosen."""

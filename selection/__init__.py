"""The candidates of each step, how they fared on folds of writers, and which was chosen."""

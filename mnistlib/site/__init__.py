"""Executed notebooks as HTML pages, results as the index, README's table and images."""

"""Notebooks run without a browser."""

"""Intervals, comparisons and verdicts: numpy and scipy, no files."""

"""Timings of this series beside two public recipes, on one machine, in turns."""

"""Side-by-side timings of this series against what a reader would run instead."""

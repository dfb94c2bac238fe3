"""Your own net: read from a file or a notebook, and checked in seconds against the rules of the exercise."""

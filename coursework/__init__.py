"""Your own net: read from a file or a notebook, checked in seconds against the rules of the exercise, and trained in a sandbox."""

"""Your own net: read from a file or a notebook, checked in seconds against the rules of the exercise, and trained in a sandbox."""

import gc

gc.set_threshold(50_000)  # torch brings some hundred thousand objects, none of them garbage; the sandbox's processes begin here

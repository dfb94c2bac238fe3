"""`python -m mnistlib` is the command `mnistlib`."""

import sys

from mnistlib.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

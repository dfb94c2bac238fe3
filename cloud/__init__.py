"""Notebooks as jobs on other machines: many at once on Ray, one on Amazon EC2 or SageMaker."""

import mnistlib.notebook  # noqa: F401  before nbformat, a part of which it keeps out

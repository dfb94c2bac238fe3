"""MNIST under 8,000 parameters: the library behind the report series."""

__version__ = "0.1.0"

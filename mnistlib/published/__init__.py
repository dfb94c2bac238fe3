"""Replication of seventeen published models: importing it registers them, and the ablations of them, as steps."""

from mnistlib.published import repository as repository

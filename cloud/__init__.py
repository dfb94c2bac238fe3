"""Notebooks as jobs on other machines: many at once on Ray, one on Amazon EC2 or SageMaker."""

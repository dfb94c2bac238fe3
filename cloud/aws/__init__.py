"""Runs on Amazon EC2 and SageMaker."""

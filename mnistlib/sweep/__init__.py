"""Many runs at once on Ray: jobs, their records, and what is sent to a worker."""

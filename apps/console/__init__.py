"""The traders' pages: a client of the public API, and of nothing else."""

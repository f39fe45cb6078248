"""Housekeeping: what has to be done again and again on a platform that runs, in one process (`run_housekeeping`)."""

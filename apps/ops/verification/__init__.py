"""Verifies a running installation end to end. Nothing is changed but two probes' rows in the backbone's tables."""

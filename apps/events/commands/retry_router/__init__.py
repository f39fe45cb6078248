"""Retry router: moves a failed message to a retry queue, which leads back to its work queue, or to the dead letters."""

"""Where a failed message goes next: to a rung that leads back to its queue, or to that queue's dead letters."""

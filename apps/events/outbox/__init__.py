"""What relay and dispatcher share of the outbox: reading it fast, what may pass, and what to tell of it."""

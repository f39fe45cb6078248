"""The event browser of the staff site: search, one event, a causal chain, a replay to the screen, and exports."""

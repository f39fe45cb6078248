"""The dashboard of the staff site: what runs, what waits, and the figures of each day."""

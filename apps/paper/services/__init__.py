"""The only writer of the paper exchange's tables."""

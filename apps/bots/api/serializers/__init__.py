"""What goes in and out. Amounts are decimal strings, times ISO 8601 UTC."""

"""The only writers of accounts. One module a concern; the doors call them by these names."""

"""Services of accounts: the only code that writes their tables. One module per concern."""

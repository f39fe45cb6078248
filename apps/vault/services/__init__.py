"""Writing exchange keys. Whatever asks an exchange must be called outside a transaction."""

"""Real servers and processes of their own, randomly killed, frozen and cut off, and proof that nothing was lost."""

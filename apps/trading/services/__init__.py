"""What the bot service does: the only writers of this app's tables."""

"""Services of the bot service: the only writers of this app's tables."""

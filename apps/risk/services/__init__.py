"""Writers of what may trade. Both the kraken service and the bot service call them, in transactions of their own."""

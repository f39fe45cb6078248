"""An app that notes what reaches it, in the transaction in which it reaches it."""

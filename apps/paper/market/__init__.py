"""The market that the exchange replays: candles, the clock that moves through them, and the price path within them."""

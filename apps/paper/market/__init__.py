"""The replayed market: candles, the replay clock, the price path within a candle, and the order book around it."""

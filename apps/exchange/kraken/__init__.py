"""Kraken Spot over REST, through python-kraken-sdk."""

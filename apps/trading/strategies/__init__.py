"""Strategies, one file each: a pure decision over closed candles."""

from apps.trading.strategies.base import (
    OrderPlan,
    Snapshot,
    Strategy,
    load_strategies,
    strategy,
    strategy_get,
    strategy_names,
)

__all__ = ["OrderPlan", "Snapshot", "Strategy", "load_strategies", "strategy", "strategy_get", "strategy_names"]

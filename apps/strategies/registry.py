"""Every strategy by name: each file of this package declares one."""

import importlib
import pkgutil
from functools import cache

from apps import strategies
from apps.strategies.base import Strategy, UnknownStrategy, declared


def all_strategies() -> list[type[Strategy]]:
    """Every strategy, by name."""
    _import_all()
    return [declared[name] for name in sorted(declared)]


def strategy_get(name: str) -> type[Strategy]:
    """The strategy of that name. Raises UnknownStrategy, which lists the known names."""
    _import_all()
    try:
        return declared[name]
    except KeyError:
        known = ", ".join(sorted(declared))
        raise UnknownStrategy(f"There is no strategy {name!r}; there are {known}.", strategy=name) from None


@cache
def _import_all() -> None:
    for module in pkgutil.iter_modules(strategies.__path__):
        importlib.import_module(f"{strategies.__name__}.{module.name}")

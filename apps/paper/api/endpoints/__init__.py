"""One module for each part of Kraken's API. Importing them fills the registry."""

from importlib import import_module
from pkgutil import iter_modules


def load_endpoints() -> None:
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")

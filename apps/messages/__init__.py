"""The published language: one class for every event, command and status message of the platform."""

import importlib
import pkgutil


def load_catalogue() -> None:
    """Imports every module of this package: a registry that imports fill is empty until something imports them."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")

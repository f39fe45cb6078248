"""The messages of the platform: one class for every event, command, status message and wake-up message."""

import importlib
import pkgutil


def load_catalogue() -> None:
    """Imports every module of this package, because importing a message class registers it."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")

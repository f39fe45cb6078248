"""Named projections: read models that a replay of their consumer group's events can rebuild from empty tables."""

from dataclasses import dataclass

from django.db import models
from django.utils.module_loading import autodiscover_modules


@dataclass(frozen=True)
class Projection:
    """A read model: the handlers of consumer group `group` fill the tables of `models`.

    All content of these tables, including their keys, must come from events: a rebuild replaces every row that differs.
    """

    name: str
    group: str
    models: tuple[type[models.Model], ...]


_projections: dict[str, Projection] = {}


def register_projection(name: str, *, group: str, models: tuple[type[models.Model], ...]) -> Projection:
    """Registers a projection. Call it in an app's `projections.py`."""
    _projections[name] = Projection(name, group, models)
    return _projections[name]


def all_projections() -> list[Projection]:
    autodiscover_modules("projections")
    return list(_projections.values())


def projection(name: str) -> Projection | None:
    """The projection of that name, or None."""
    return next((item for item in all_projections() if item.name == name), None)

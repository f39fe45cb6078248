"""Named projections: read models that can be rebuilt from nothing by a replay of their consumer group's events."""

from dataclasses import dataclass

from django.db import models, transaction
from django.utils.module_loading import autodiscover_modules

from apps.events.models import DeadLetter, InboxEntry


@dataclass(frozen=True)
class Projection:
    """A read model: `group` names the consumers that fill the tables of `models`.

    What these tables hold, their keys too, comes from events alone: a rebuild replaces every row that differs.
    """

    name: str
    group: str
    models: tuple[type[models.Model], ...]

    @transaction.atomic
    def start_over(self) -> None:
        """Forgets everything: the read model, which events it has seen, and which it could not handle."""
        for model in self.models:
            model._default_manager.all().delete()
        InboxEntry.objects.filter(consumer=self.group).delete()
        DeadLetter.objects.filter(consumer=self.group).delete()


_projections: dict[str, Projection] = {}


def register_projection(name: str, *, group: str, models: tuple[type[models.Model], ...]) -> Projection:
    """Declares a projection, in an app's `projections.py`."""
    _projections[name] = Projection(name, group, models)
    return _projections[name]


def all_projections() -> list[Projection]:
    autodiscover_modules("projections")
    return list(_projections.values())


def projection(name: str) -> Projection | None:
    """The projection of that name, or None."""
    return next((item for item in all_projections() if item.name == name), None)

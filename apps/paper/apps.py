from django.apps import AppConfig


class PaperConfig(AppConfig):
    """The paper exchange: a Kraken-compatible exchange over a replayed market."""

    name = "apps.paper"
    label = "paper"
    db_schema = "paper"

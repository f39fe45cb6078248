from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "apps.events"
    label = "events"
    db_schema = "events"

    def ready(self) -> None:
        from apps.messages import load_catalogue

        load_catalogue()

from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "apps.events"
    label = "events"
    db_schema = "events"

    def ready(self) -> None:
        from apps.events.store import machine_keys
        from apps.messages import load_catalogue

        load_catalogue()
        machine_keys.listen()

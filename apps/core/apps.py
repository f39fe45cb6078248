from django.apps import AppConfig
from django.conf import settings


class CoreConfig(AppConfig):
    name = "apps.core"
    label = "core"
    db_schema = "events"

    def ready(self) -> None:
        env = settings.ENVIRONMENT
        if env.traces:
            # Loaded where it is turned on: what stays off costs neither memory nor time at the start.
            from apps.core.tracing_backend import start

            start(env.traces, process=settings.PROCESS, ratio=env.traces_ratio)

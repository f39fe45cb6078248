from django.apps import AppConfig


class RiskConfig(AppConfig):
    name = "apps.risk"
    label = "risk"
    db_schema = "risk"

    def ready(self) -> None:
        from apps.risk import personal_data

        personal_data.register()

from django.apps import AppConfig


class BotsConfig(AppConfig):
    name = "apps.bots"
    label = "bots"
    db_schema = "kraken"

    def ready(self) -> None:
        from apps.bots import personal_data
        from apps.bots.key_users import BotsOfKey
        from apps.vault import key_users

        key_users.register(BotsOfKey())
        personal_data.register()

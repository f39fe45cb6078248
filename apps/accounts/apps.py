from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"
    db_schema = "users"

    def ready(self) -> None:
        from apps.accounts import personal_data

        personal_data.register()

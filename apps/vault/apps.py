from django.apps import AppConfig


class VaultConfig(AppConfig):
    name = "apps.vault"
    label = "vault"
    db_schema = "kraken"

    def ready(self) -> None:
        from apps.core.personal_data import register_exports
        from apps.vault.personal_data import exchange_key_rows

        register_exports("kraken", {"exchange_keys": exchange_key_rows})

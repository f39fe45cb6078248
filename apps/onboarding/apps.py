from django.apps import AppConfig


class OnboardingConfig(AppConfig):
    name = "apps.onboarding"
    label = "onboarding"
    db_schema = "users"

    def ready(self) -> None:
        from apps.core.personal_data import register_erasure, register_exports
        from apps.onboarding.personal_data import onboarding_rows
        from apps.onboarding.services import onboarding_erase

        register_erasure(self.label, onboarding_erase)
        register_exports("user", {"onboarding": onboarding_rows})

"""Progress of onboarding, by user and step."""

from django.db import models


class Onboarding(models.Model):
    """Onboarding of one user. The lock on its row serializes the steps."""

    user_id = models.UUIDField(primary_key=True)
    started_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "onboarding"
        verbose_name_plural = "onboarding"


class OnboardingStep(models.Model):
    """A completed step with its answer. Completing it again replaces the answer."""

    class Name(models.TextChoices):
        PROFILE = "profile"
        TERMS = "terms"
        RISK_PROFILE = "risk_profile"
        EXCHANGE_KEY = "exchange_key"
        FIRST_BOT = "first_bot"

    onboarding = models.ForeignKey(Onboarding, on_delete=models.CASCADE, related_name="steps")
    name = models.CharField(max_length=20, choices=Name)
    answer = models.JSONField()
    completed_at = models.DateTimeField()

    class Meta:
        db_table = "onboarding_step"
        constraints = [models.UniqueConstraint(fields=["onboarding", "name"], name="onboarding_step_once")]

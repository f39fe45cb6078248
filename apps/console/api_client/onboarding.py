"""The way to the first bot: five steps, in this order, each repeatable until the last one is done."""

from datetime import datetime
from typing import Any

from apps.console.api_client.base import Answer, Api


class Step(Answer):
    name: str
    state: str
    completed_at: datetime | None
    answer: dict[str, Any] | None


class Onboarding(Answer):
    steps: list[Step]
    current: str | None
    completed_at: datetime | None
    terms_version: str


def state(api: Api) -> Onboarding:
    return Onboarding.model_validate(api.get("onboarding"))


def complete(api: Api, step: str, answer: dict[str, Any], *, key: str) -> Onboarding:
    return Onboarding.model_validate(api.post(f"onboarding/{step}", answer, key=key))

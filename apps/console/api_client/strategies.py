"""The strategies, each with the JSON Schema of its parameters."""

from typing import Any

from apps.console.api_client.base import Answer, Api


class Strategy(Answer):
    name: str
    title: str
    description: str
    loses_when: str = ""
    # JSON Schema (2020-12)
    parameters: dict[str, Any]


def strategies(api: Api) -> list[Strategy]:
    return [Strategy.model_validate(each) for each in api.get("bot/strategies")["results"]]

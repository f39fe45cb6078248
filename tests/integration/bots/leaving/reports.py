"""What a bot has reported, and what it was told."""

from typing import Any

from apps.bots.consumers import READ_MODELS
from apps.bots.models import Bot, BotCommand
from apps.events.consumers.delivery import deliver
from apps.events.store.selectors import event_get
from tests.factories.bots import Story


def told(bot: Bot, *steps: Any) -> Story:
    """What the bot reported, as the read models have it."""
    story = Story(bot_id=bot.id, user_id=bot.user_id)
    for step in steps:
        deliver(step(story), group=READ_MODELS)
    return story


def bought(volume: str = "0.25") -> Any:
    return lambda story: story.traded("buy", volume=volume)


def stopped(**options: Any) -> Any:
    return lambda story: story.stopped(**options)


def started(story: Story) -> Any:
    return story.started()


def commands(bot: Bot) -> list[Any]:
    found = [event_get(event_id=command.id) for command in BotCommand.objects.filter(bot=bot).order_by("requested_at")]
    return [envelope.message() for envelope in found if envelope is not None]

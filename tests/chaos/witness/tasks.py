"""Carries out commands: counts each, in the transaction that marks it done. Some take a while, some fail at first."""

import time

from django.db import connection, transaction
from django.utils import timezone

from apps.events.commands.delivery import Delivery
from apps.events.commands.registry import executes
from apps.messages.base import Command
from apps.messages.bots import StopBot, TriggerTrade


def carry_out(command: Command, delivery: Delivery) -> None:
    lot = command.command_id.int % 10
    if lot == 0 and delivery.attempt == 1:
        raise RuntimeError("the first attempt fails")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chaos.effect (command_id, fence, attempt) VALUES (%s, %s, %s)",
            [command.command_id, delivery.fence, delivery.attempt],
        )
        if lot < 3:
            time.sleep(0.1)
        delivery.complete(now=timezone.now())


for message_class in (StopBot, TriggerTrade):
    executes(message_class)(carry_out)

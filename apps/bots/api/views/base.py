"""Answers to commands: 202 with a receipt."""

from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from apps.bots.api.serializers.commands import CommandReceiptListSerializer, CommandReceiptSerializer
from apps.bots.models import BotCommand
from apps.bots.rules import check_credential_known
from apps.bots.selectors.bots import bot_get
from apps.bots.selectors.command_receipts import command_receipt_of, command_receipts_of
from apps.core.identity.principal import principal_of
from apps.core.terms import Mode


def accepted(command: BotCommand) -> Response:
    """202 with the receipt, and its address."""
    location = reverse("bot-command", args=[command.bot_id, command.id])
    receipt = command_receipt_of(command, now=timezone.now())
    return Response(CommandReceiptSerializer(receipt).data, status=202, headers={"Location": location})


def accepted_all(commands: list[BotCommand]) -> Response:
    receipts = command_receipts_of(commands, now=timezone.now())
    return Response(CommandReceiptListSerializer({"results": receipts}).data, status=202)


def mode_of_bot(bot_id: UUID, request: Request) -> Mode:
    """Raises NotFound for a bot that is not the caller's. A bot's mode never changes."""
    return Mode(bot_get(bot_id=bot_id, user_id=principal_of(request).user_id).mode)


def mode_of_key(credential_id: UUID, request: Request) -> Mode:
    """Raises UnknownCredential for an exchange key that is not the caller's. Its mode never changes."""
    return check_credential_known(credential_id=credential_id, user_id=principal_of(request).user_id).mode

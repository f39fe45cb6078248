"""Answers to commands: 202 with a receipt."""

from django.urls import reverse
from django.utils import timezone
from rest_framework.response import Response

from apps.bots.api.serializers.commands import CommandReceiptListSerializer, CommandReceiptSerializer
from apps.bots.models import BotCommand
from apps.bots.selectors.command_receipts import command_receipt_of, command_receipts_of


def accepted(command: BotCommand) -> Response:
    """202 with the receipt, and its address."""
    location = reverse("bot-command", args=[command.bot_id, command.id])
    receipt = command_receipt_of(command, now=timezone.now())
    return Response(CommandReceiptSerializer(receipt).data, status=202, headers={"Location": location})


def accepted_all(commands: list[BotCommand]) -> Response:
    receipts = command_receipts_of(commands, now=timezone.now())
    return Response(CommandReceiptListSerializer({"results": receipts}).data, status=202)

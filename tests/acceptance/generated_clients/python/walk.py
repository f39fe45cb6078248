"""From registering to a bot's trades, with the Python clients that openapi-python-client generates. Run by a test.

Arguments: the gateway's address, an e-mail address, a pair, an interval in minutes. The code of the mail that confirms
the address is the first line of standard input. Prints the sides of the trades as JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Protocol, TypeVar
from uuid import uuid4

from kraken_client import AuthenticatedClient
from kraken_client.api.bot_commands import bot_commands_retrieve, bot_start_create, bot_stop_create
from kraken_client.api.bot_status import bot_status_retrieve, bot_trades_list
from kraken_client.api.bots import bot_create
from kraken_client.api.exchange_keys import kraken_connect_create, kraken_keys_list
from kraken_client.models.bot import Bot
from kraken_client.models.bot_create_request import BotCreateRequest
from kraken_client.models.bot_create_request_parameters import BotCreateRequestParameters
from kraken_client.models.bot_state_enum import BotStateEnum
from kraken_client.models.interval_minutes_enum import IntervalMinutesEnum
from kraken_client.models.key_connect_request import KeyConnectRequest
from kraken_client.models.mode_enum import ModeEnum
from kraken_client.models.paginated_passport_list import PaginatedPassportList
from kraken_client.models.paginated_trade_list import PaginatedTradeList
from kraken_client.models.passport import Passport
from kraken_client.models.receipt import Receipt
from kraken_client.models.receipt_state_enum import ReceiptStateEnum
from kraken_client.models.status import Status
from user_client import AuthenticatedClient as UserClient
from user_client import Client
from user_client.api.account import user_me_retrieve
from user_client.api.log_in import auth_email_verify_create, auth_login_create, auth_register_create
from user_client.models.email_verify_request import EmailVerifyRequest
from user_client.models.error_code import ErrorCode
from user_client.models.log_in import LogIn
from user_client.models.login_request import LoginRequest
from user_client.models.me import Me
from user_client.models.register_request import RegisterRequest
from user_client.models.registration import Registration

PASSWORD = "correct horse battery staple"
WAIT_SECONDS = 90.0
POLL_SECONDS = 0.25

Parsed_co = TypeVar("Parsed_co", covariant=True)
Wanted = TypeVar("Wanted")


class Answer(Protocol[Parsed_co]):
    """What both generated packages call Response."""

    @property
    def status_code(self) -> int: ...

    @property
    def parsed(self) -> Parsed_co | None: ...


def parsed(answer: Answer[object], status: int, kind: type[Wanted]) -> Wanted:
    """The answer's content. Raises AssertionError where it is not this status and this class."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.parsed}"
    assert isinstance(answer.parsed, kind), f"not a {kind.__name__}: {answer.parsed}"
    return answer.parsed


def until(what: str, read: Callable[[], Wanted], holds: Callable[[Wanted], bool]) -> Wanted:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds(seen := read()):
        assert time.monotonic() < deadline, f"waited for {what}: {seen}"
        time.sleep(POLL_SECONDS)
    return seen


def token_of(url: str, email: str) -> str:
    """Registers, confirms the address with the mailed code, and logs in."""
    client = Client(base_url=url, raise_on_unexpected_status=True)
    body = RegisterRequest(email=email, password=PASSWORD)
    # Registering answers in the same way for an address that is taken, so it names no account.
    parsed(auth_register_create.sync_detailed(client=client, body=body, idempotency_key=uuid4().hex), 201, Registration)

    wrong = LoginRequest(email=email, password="a wrong one")
    refused = auth_login_create.sync_detailed(client=client, body=wrong)
    assert refused.status_code == 401
    assert not isinstance(refused.parsed, LogIn | None)
    assert refused.parsed.error.code is ErrorCode.INVALID_CREDENTIALS

    code = sys.stdin.readline().strip()
    confirmation = EmailVerifyRequest(token=code, password=PASSWORD)
    assert auth_email_verify_create.sync_detailed(client=client, body=confirmation).status_code == 204
    login = LoginRequest(email=email, password=PASSWORD)
    return parsed(auth_login_create.sync_detailed(client=client, body=login), 200, LogIn).access


def walk(url: str, email: str, pair: str, interval_minutes: int) -> list[str]:
    """The sides of the bot's trades. Raises AssertionError where an answer is not the documented one."""
    token = token_of(url, email)
    account = UserClient(base_url=url, token=token, raise_on_unexpected_status=True)
    me = parsed(user_me_retrieve.sync_detailed(client=account), 200, Me)
    assert me.email == email
    assert me.email_verified_at is not None

    client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
    wanted = KeyConnectRequest(label="Generated", mode=ModeEnum.PAPER)
    connected = kraken_connect_create.sync_detailed(client=client, body=wanted, idempotency_key=uuid4().hex)
    key = parsed(connected, 201, Passport)
    keys = parsed(kraken_keys_list.sync_detailed(client=client), 200, PaginatedPassportList)
    assert [each.id for each in keys.results] == [key.id]

    parameters = BotCreateRequestParameters.from_dict({"fast": 1, "slow": 3})
    definition = BotCreateRequest(
        name="Generated",
        credential_id=key.id,
        pair=pair,
        strategy="sma_cross",
        parameters=parameters,
        interval_minutes=IntervalMinutesEnum(interval_minutes),
        quote_budget="1000",
    )
    bot = parsed(bot_create.sync_detailed(client=client, body=definition, idempotency_key=uuid4().hex), 201, Bot)

    start = parsed(bot_start_create.sync_detailed(bot.id, client=client, idempotency_key=uuid4().hex), 202, Receipt)
    carried_out(client, bot, start)
    trades = until(
        "a trade",
        lambda: parsed(bot_trades_list.sync_detailed(bot.id, client=client, limit=10), 200, PaginatedTradeList),
        lambda page: bool(page.results),
    )
    stop = parsed(bot_stop_create.sync_detailed(bot.id, client=client, idempotency_key=uuid4().hex), 202, Receipt)
    carried_out(client, bot, stop)
    until(
        "the bot to have stopped",
        lambda: parsed(bot_status_retrieve.sync_detailed(bot.id, client=client), 200, Status),
        lambda status: status.state is BotStateEnum.STOPPED,
    )
    assert {trade.bot_id for trade in trades.results} == {bot.id}
    return [trade.side.value for trade in trades.results]


def carried_out(client: AuthenticatedClient, bot: Bot, command: Receipt) -> None:
    """Waits for the end of the command. Raises AssertionError where it was not carried out."""
    unfinished = (ReceiptStateEnum.REQUESTED, ReceiptStateEnum.DELIVERED, ReceiptStateEnum.RUNNING)
    receipt = until(
        f"the end of {command.kind}",
        lambda: parsed(bot_commands_retrieve.sync_detailed(bot.id, command.id, client=client), 200, Receipt),
        lambda receipt: receipt.state not in unfinished,
    )
    assert receipt.state is ReceiptStateEnum.DONE, receipt.reason


if __name__ == "__main__":
    json.dump(walk(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])), sys.stdout)

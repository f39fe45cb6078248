"""The steps of the smoke test, and the clock that times them."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from apps.ops.smoke_test.client import Json, PlatformClient, SmokeTestFailed
from apps.ops.smoke_test.market import PlayedMarket, budget_on, played_market

POLL_SECONDS = 0.25
# The platform keeps the exchange's list of pairs for a minute: after a change of market it may be of the one before.
LISTED_SECONDS = 75.0
# A platform that was started a moment ago answers before its workers take commands.
COMMAND_SECONDS = 60.0

# A paper bot that reacts quickly, so that there is something to see. On hourly candles of XBTUSD unless told otherwise.
BOT = {
    "name": "Smoke test",
    "pair": "XBTUSD",
    "strategy": "sma_cross",
    "parameters": {"fast": 1, "slow": 3},
    "interval_minutes": 60,
    "quote_budget": "1000",
}

KEY_LABEL = "Smoke test"


@dataclass
class Narrator:
    """Says one line a step: how long after the start, what, its id."""

    write: Callable[[str], None]
    _began: float = field(default_factory=time.monotonic)

    def say(self, what: str, identifier: str = "") -> None:
        seconds = time.monotonic() - self._began
        self.write(f"{seconds:7.2f} s  {what:<44} {identifier}".rstrip())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


@dataclass(frozen=True)
class Outcome:
    """What the smoke test leaves behind. `first_trade_seconds` counts from the request that starts the bot."""

    bot: Json
    status: Json
    trades: list[Json]
    first_trade_seconds: float
    market: str


def smoke_test(
    client: PlatformClient,
    narrator: Narrator,
    *,
    exchange_url: str,
    email: str,
    password: str,
    trades: int,
    at_most_seconds: float,
) -> Outcome:
    """From registering to stopping the bot again, on the market that the paper exchange plays.

    Raises SmokeTestFailed with the step that went wrong; the bot is stopped then as well.
    """
    health = client.get("/health")
    narrator.say(f"the gateway answers: {health['status']}")

    client.post("/api/v1/auth/register", {"email": email, "password": password, "name": "Demo trader"})
    narrator.say("registered", email)
    tokens = client.post("/api/v1/auth/login", {"email": email, "password": password})
    client.token = tokens["access"]
    narrator.say("logged in, with a token that only public keys verify")

    market = played_market(exchange_url)
    narrator.say(f"the paper exchange's market is {market.title}")
    pairs = until(
        lambda: client.get("/api/v1/trading/pairs"), _lists(market.pair), f"the pair {market.pair}", LISTED_SECONDS
    )
    rules = next(row for row in pairs["results"] if row["pair"] == market.pair)
    key = _paper_account(client)
    narrator.say("paper exchange account", key["id"])
    wanted = {
        "pair": market.pair,
        "interval_minutes": market.interval_minutes,
        "quote_budget": f"{budget_on(client, rules):f}",
        "credential_id": key["id"],
    }
    bot = client.post("/api/v1/bot", BOT | wanted)
    narrator.say(f"bot created: {bot['strategy']} on {bot['pair']}, {bot['interval_minutes']} minutes", bot["id"])
    try:
        return _run(client, narrator, bot, market, trades=trades, at_most_seconds=at_most_seconds)
    except BaseException as error:
        if isinstance(error, SmokeTestFailed):
            narrator.say(what_is_down(client))
        # Also after Ctrl-C: a bot that was left running would trade on.
        with suppress(SmokeTestFailed):
            client.post(f"/api/v1/bot/{bot['id']}/stop")
        raise


def _run(
    client: PlatformClient,
    narrator: Narrator,
    bot: Json,
    market: PlayedMarket,
    *,
    trades: int,
    at_most_seconds: float,
) -> Outcome:
    path = f"/api/v1/bot/{bot['id']}"
    started_at = time.monotonic()
    command = client.post(f"{path}/start")
    narrator.say("start accepted (202)", command["id"])
    receipt = until(
        lambda: client.get(f"{path}/commands/{command['id']}"), _is_over, "the start's receipt", COMMAND_SECONDS
    )
    _must_be_done(receipt)
    narrator.say(f"bot.start ran in the bot service, attempt {receipt['attempts']}")
    status = until(
        lambda: client.get(f"{path}/status"), lambda body: body["state"] == "running", "running", COMMAND_SECONDS
    )
    narrator.say("status says running", str(status.get("run_id", "")))

    page = _first_trades(client, path, market)
    first_trade_seconds = time.monotonic() - started_at
    narrator.say("first trade in the API", page["results"][-1]["trade_id"])
    seen = {trade["trade_id"] for trade in page["results"]}
    deadline = time.monotonic() + at_most_seconds
    while len(seen) < trades and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        page = client.get(f"{path}/trades")
        for trade in reversed(page["results"]):
            if trade["trade_id"] not in seen:
                seen.add(trade["trade_id"])
                narrator.say(f"{trade['side']} {trade['volume']} at {trade['price']}", trade["trade_id"])

    stop = client.post(f"{path}/stop")
    narrator.say("stop accepted (202)", stop["id"])
    _must_be_done(until(lambda: client.get(f"{path}/commands/{stop['id']}"), _is_over, "the stop's receipt", 30))
    status = until(
        lambda: client.get(f"{path}/status"), lambda body: body["state"] == "stopped", "stopped", COMMAND_SECONDS
    )
    narrator.say("status says stopped")
    return Outcome(bot, status, client.get(f"{path}/trades")["results"], first_trade_seconds, market.title)


def _first_trades(client: PlatformClient, path: str, market: PlayedMarket) -> Json:
    """The first page of trades that is not empty. Raises SmokeTestFailed with what kept the bot from trading."""
    at_most_seconds = min(market.first_trade_seconds, market.seconds_left)
    deadline = time.monotonic() + at_most_seconds
    while not (page := client.get(f"{path}/trades"))["results"]:
        if time.monotonic() > deadline:
            reason = _why_not(client.get(f"{path}/status"))
            raise SmokeTestFailed(f"The bot on {market.pair} did not trade within {at_most_seconds:.0f} s: {reason}.")
        time.sleep(POLL_SECONDS)
    return page


def _why_not(status: Json) -> str:
    """The reason that the platform gives, in words without a full stop."""
    if status["state"] != "running":
        return f"it is {status['state']} {status.get('reason') or ''}".strip().rstrip(".")
    for notice in (status.get("last_error"), status.get("last_skip")):
        if notice:
            return f"{notice['message'].rstrip('.')} ({notice['code']})"
    return "its strategy saw no rising price, or its orders were not filled, as on a market that falls or stands still"


def _lists(pair: str) -> Callable[[Json], bool]:
    return lambda page: any(row["pair"] == pair for row in page["results"])


def _paper_account(client: PlatformClient) -> Json:
    for key in client.get("/api/v1/kraken/keys")["results"]:
        if key["label"] == KEY_LABEL and key["state"] == "active":
            found: Json = key
            return found
    return client.post("/api/v1/kraken/connect", {"label": KEY_LABEL, "mode": "paper"})


def what_is_down(client: PlatformClient) -> str:
    """A sentence with what the gateway's health report says about everything that is not up."""
    try:
        report = client.get("/health")["dependencies"]
    except SmokeTestFailed as error:
        return str(error)
    down = [f"{each['name']}: {each['detail'] or each['state']}" for each in report if each["state"] != "up"]
    return f"down in /health: {'; '.join(down) or 'nothing'}"


def _is_over(receipt: Json) -> bool:
    return receipt["state"] in ("done", "failed", "dropped")


def _must_be_done(receipt: Json) -> None:
    if receipt["state"] != "done":
        raise SmokeTestFailed(f"The command {receipt['id']} ended as {receipt['state']}: {receipt.get('reason', '')}")


def until(read: Callable[[], Json], holds: Callable[[Json], Any], what: str, at_most_seconds: float) -> Json:
    deadline = time.monotonic() + at_most_seconds
    while True:
        body = read()
        if holds(body):
            return body
        if time.monotonic() > deadline:
            raise SmokeTestFailed(f"Waited {at_most_seconds:.0f} s for {what}; the last answer was {body}.")
        time.sleep(POLL_SECONDS)

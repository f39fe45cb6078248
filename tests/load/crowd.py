"""Many traders at once, each with an address and a connection of their own that stays open.

A trader asks at fixed moments, whether or not the last answer came in time, so a slow service cannot slow the
questions down; an answer that comes late counts from the moment at which its question was due.
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from tests.load.people import PASSWORD, address_of, email_of

# Shares of a realistic mix, in percent.
MIX = {"status": 40, "trades": 25, "ticker": 20, "candles": 10, "me": 4, "log-in": 1}
# Argon2 keeps a core busy: log-ins of the set-up come a few at a time.
LOG_INS_AT_ONCE = 4


@dataclass
class Results:
    """`seconds` from when a question was due to its answer's end, by kind; `answers` counts statuses and errors."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in MIX})
    answers: Counter[str] = field(default_factory=Counter)

    def percentile(self, share: float) -> float:
        every = sorted(second for each in self.seconds.values() for second in each)
        return every[min(len(every) - 1, int(share * len(every)))] if every else 0.0


class Trader:
    def __init__(self, number: int, base_url: str) -> None:
        self._number, self._base_url = number, base_url
        self._token, self._bot_id = "", ""
        self._session: aiohttp.ClientSession | None = None

    async def enter(self, turn: asyncio.Semaphore) -> None:
        connector = aiohttp.TCPConnector(limit=2, keepalive_timeout=60)
        headers = {"X-Forwarded-For": address_of(self._number)}
        timeout = aiohttp.ClientTimeout(total=30)
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout)
        async with turn:
            await self._log_in()
        bots = await self._json("GET", "/api/v1/bot")
        self._bot_id = bots["results"][0]["id"]

    async def leave(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def live(self, results: Results, *, every: float, until: float) -> None:
        """One question every `every` seconds, from a moment of their own on."""
        due = time.monotonic() + random.random() * every
        pending: set[asyncio.Task[None]] = set()
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._ask(results, due))
            pending.add(task)
            task.add_done_callback(pending.discard)
            due += every
        if pending:
            await asyncio.wait(pending)

    async def _ask(self, results: Results, due: float) -> None:
        kind = random.choices(list(MIX), list(MIX.values()))[0]
        try:
            status = await self._call(kind)
        except (aiohttp.ClientError, TimeoutError) as error:
            results.answers[type(error).__name__] += 1
            return
        results.answers[str(status)] += 1
        if status == 200:
            results.seconds[kind].append(time.monotonic() - due)

    async def _call(self, kind: str) -> int:
        if kind == "log-in":
            return await self._log_in()
        path = {
            "status": f"/api/v1/bot/{self._bot_id}/status",
            "trades": f"/api/v1/bot/{self._bot_id}/trades",
            "ticker": "/api/v1/trading/ticker?pair=XBTUSD",
            "candles": "/api/v1/trading/ohlc?pair=XBTUSD&interval=1440&limit=100",
            "me": "/api/v1/user/me",
        }[kind]
        assert self._session is not None
        async with self._session.get(self._base_url + path, headers=self._bearer()) as answer:
            await answer.read()
            return answer.status

    async def _log_in(self) -> int:
        assert self._session is not None
        body = {"email": email_of(self._number), "password": PASSWORD}
        async with self._session.post(f"{self._base_url}/api/v1/auth/login", json=body) as answer:
            told = await answer.json()
            if answer.status == 200:
                self._token = told["access"]
            return answer.status

    async def _json(self, method: str, path: str) -> dict[str, list[dict[str, str]]]:
        assert self._session is not None
        async with self._session.request(method, self._base_url + path, headers=self._bearer()) as answer:
            assert answer.status == 200, await answer.text()
            told: dict[str, list[dict[str, str]]] = await answer.json()
            return told

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}


async def enter_all(base_url: str, count: int) -> list[Trader]:
    """`count` traders who have logged in."""
    turn = asyncio.Semaphore(LOG_INS_AT_ONCE)
    traders = [Trader(number, base_url) for number in range(count)]
    await asyncio.gather(*(trader.enter(turn) for trader in traders))
    return traders


async def live_all(traders: list[Trader], *, every: float, seconds: float) -> Results:
    results, until = Results(), time.monotonic() + seconds
    await asyncio.gather(*(trader.live(results, every=every, until=until) for trader in traders))
    return results

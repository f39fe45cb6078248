"""Ids that recognise an order."""

import re
from datetime import UTC, datetime
from uuid import UUID, uuid4

from apps.core.ids import new_id
from apps.trading.ids import bot_code, candle_step, decision_id, is_ours, new_client_order_id

BOT = UUID("0193a5b0-0000-7000-8000-00000000abcd")


def test_the_same_decision_has_the_same_id() -> None:
    step = candle_step("sma_cross", datetime(2026, 1, 1, tzinfo=UTC))
    assert decision_id(bot_id=BOT, step=step, side="buy") == decision_id(bot_id=BOT, step=step, side="buy")


def test_bot_step_side_and_level_each_make_another_decision() -> None:
    decisions = {
        decision_id(bot_id=bot_id, step=step, side=side, level=level)
        for bot_id in (BOT, new_id())
        for step in ("a", "b")
        for side in ("buy", "sell")
        for level in (0, 1)
    }
    assert len(decisions) == 16


def test_a_client_id_is_18_characters_that_kraken_takes() -> None:
    assert re.fullmatch(r"mk[0-9a-hjkmnp-tv-z]{16}", new_client_order_id(uuid4()))


def test_every_attempt_has_an_id_of_its_own() -> None:
    assert len({new_client_order_id(BOT) for _ in range(1000)}) == 1000


def test_an_order_shows_whose_it_is_without_the_database() -> None:
    ours = new_client_order_id(BOT)
    assert is_ours(ours)
    assert is_ours(ours, bot_id=BOT)
    assert not is_ours(ours, bot_id=UUID("0193a5b0-0000-7000-8000-00000000abce"))


def test_ids_of_others_are_not_ours() -> None:
    assert not any(is_ours(text) for text in ("", "mk", "x" * 18, str(uuid4()), "mk-manual"))


def test_bots_made_in_the_same_millisecond_have_different_codes() -> None:
    assert len({bot_code(new_id()) for _ in range(1000)}) == 1000

from apps.paper.market.depth import LEVELS, Level, Taken, best_prices_at, order_book_at
from apps.paper.market.path import STEPS
from tests.unit.paper.builders import COIN, flat, replay

MARKET = replay([flat(100_000), flat(100_000), flat(120_000)])
STEP = STEPS  # in the second candle


def test_levels_surround_the_price_best_first() -> None:
    book = order_book_at(MARKET, STEP, Taken())

    assert len(book.asks) == len(book.bids) == LEVELS
    assert book.bids[0].price == 99_995
    assert book.asks[0].price == 100_005
    assert [level.price for level in book.asks] == sorted({level.price for level in book.asks})
    assert [level.price for level in book.bids] == sorted({level.price for level in book.bids}, reverse=True)


def test_the_book_is_the_same_whenever_it_is_looked_at() -> None:
    assert order_book_at(MARKET, STEP, Taken()) == order_book_at(MARKET, STEP, Taken())


def test_sizes_come_from_the_candle_before() -> None:
    loud = replay([flat(100_000, 300 * COIN), flat(100_000, 10**6 * COIN)])
    quiet = replay([flat(100_000, 300 * COIN), flat(100_000, 1)])

    assert order_book_at(loud, STEP, Taken()) == order_book_at(quiet, STEP, Taken())


def test_what_was_taken_is_gone_from_the_best_level_outwards() -> None:
    whole = order_book_at(MARKET, STEP, Taken())
    first, second = whole.asks[:2]

    book = order_book_at(MARKET, STEP, Taken(candle=1, asks=first.volume + 7))

    assert book.asks[0] == Level(second.price, second.volume - 7)
    assert book.bids == whole.bids


def test_the_next_candle_brings_new_liquidity() -> None:
    everything = Taken(candle=1, asks=10**18, bids=10**18)

    assert order_book_at(MARKET, STEP, everything).asks == ()
    assert len(order_book_at(MARKET, 2 * STEPS, everything).asks) == LEVELS


def test_no_level_is_below_the_smallest_price() -> None:
    penny = replay([flat(3), flat(3)])

    book = order_book_at(penny, STEP, Taken())

    assert [level.price for level in book.bids] == [2, 1]
    assert best_prices_at(penny, STEP) == (2, 4)

"""argparse types of numeric options. A value out of range is refused with a sentence that names the range."""

import math
from argparse import ArgumentTypeError
from collections.abc import Callable

SMALLEST_NUMBER = 0.001
# PostgreSQL's largest integer. No count, age or rate on a command line needs more.
LARGEST = 2**31 - 1


def positive_number(text: str) -> float:
    """A number above 0, such as a rate or a time in seconds. Raises ArgumentTypeError."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not SMALLEST_NUMBER <= number <= LARGEST:
        raise ArgumentTypeError(f"{text!r} is not a number from {SMALLEST_NUMBER} to {LARGEST}.")
    return number


def integer(*, at_least: int, at_most: int = LARGEST) -> Callable[[str], int]:
    """An argparse type for whole numbers from `at_least` to `at_most`, both included. It raises ArgumentTypeError."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = at_least - 1
        if not at_least <= number <= at_most:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {at_least} to {at_most}.")
        return number

    return parse


positive_integer = integer(at_least=1)
not_negative = integer(at_least=0)
port_number = integer(at_least=1, at_most=65_535)

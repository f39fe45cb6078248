"""The life of an order in one table: its states, and every legal transition between them.

`OrderIntent.move_to` is the only way to change the state of an order; it and `OrderIntent.save` raise IllegalTransition
for a pair that is not in `TRANSITIONS`. The diagram and the table of states in docs/orders.md are generated from this
module (`manage.py check_contracts --write`).
"""

from collections.abc import Mapping

from django.db import models

from apps.trading.errors import IllegalTransition


class IntentState(models.TextChoices):
    """State of an order intent. Unknown is a state, and only evidence ends it.

    The labels are part of the migrations; `MEANINGS` has the full sentences.
    """

    PLANNED = "planned", "Decided and stored; not sent"
    SENDING = "sending", "May have been sent"
    OPEN = "open"
    PARTIAL = "partial", "Open, and filled in part"
    FILLED = "filled"
    CANCELED = "canceled", "Ended by a cancel; may carry fills"
    EXPIRED = "expired"
    REJECTED = "rejected", "The exchange refused it"
    UNKNOWN = "unknown", "Sent, and no answer tells what became of it"
    NOT_PLACED = "not_placed", "Proved never to have reached the book"
    NEEDS_HUMAN = "needs_human", "The evidence contradicts itself"


S = IntentState

MEANINGS: Mapping[IntentState, str] = {
    S.PLANNED: "decided and stored, its worst-case cost reserved; not sent",
    S.SENDING: "may have been sent; committed before the first byte leaves",
    S.OPEN: "accepted by the exchange, without a fill so far",
    S.PARTIAL: "accepted, and filled in part",
    S.FILLED: "ended with its whole volume filled, or closed by the exchange a lot or two short of it",
    S.CANCELED: "ended by a cancel; may carry fills",
    S.EXPIRED: "ended by the exchange; may carry fills",
    S.REJECTED: "refused by a definitive answer of the exchange",
    S.UNKNOWN: "sent, and no answer says whether it was placed",
    S.NOT_PLACED: "proved never to have been placed",
    S.NEEDS_HUMAN: "the evidence contradicts itself; waits for manual resolution",
}

INITIAL_STATE = S.PLANNED

# state -> the states that may follow it, each with the event that leads there
TRANSITIONS: Mapping[IntentState, Mapping[IntentState, str]] = {
    S.PLANNED: {
        S.SENDING: "a worker is about to send it",
        S.NOT_PLACED: "its worker died before sending",
    },
    S.SENDING: {
        S.OPEN: "accepted",
        S.REJECTED: "refused",
        S.NOT_PLACED: "the request never left",
        S.UNKNOWN: "no answer, or its worker died",
    },
    S.UNKNOWN: {
        S.OPEN: "found, or a late answer",
        S.REJECTED: "a late refusal",
        S.NOT_PLACED: "proved absent",
        S.NEEDS_HUMAN: "absence cannot be proved",
    },
    S.OPEN: {
        S.PARTIAL: "first fill",
        S.FILLED: "filled",
        S.CANCELED: "cancelled",
        S.EXPIRED: "expired",
        S.NEEDS_HUMAN: "contradictory evidence",
    },
    S.PARTIAL: {
        S.FILLED: "filled",
        S.CANCELED: "cancelled",
        S.EXPIRED: "expired",
        S.NEEDS_HUMAN: "contradictory evidence",
    },
    S.NEEDS_HUMAN: {
        S.OPEN: "resolved as placed",
        S.NOT_PLACED: "resolved as never placed",
        S.REJECTED: "a late refusal",
    },
    S.FILLED: {},
    S.CANCELED: {S.NEEDS_HUMAN: "a second person corrects its resolution"},
    S.EXPIRED: {S.NEEDS_HUMAN: "a second person corrects its resolution"},
    S.REJECTED: {},
    S.NOT_PLACED: {S.NEEDS_HUMAN: "a second person corrects its resolution"},
}

# Whether the exchange has the order is not certain: no purchase is made meanwhile.
DOUBTFUL_STATES = [S.SENDING.value, S.UNKNOWN.value, S.NEEDS_HUMAN.value]
# On the exchange's order book.
RESTING_STATES = [S.OPEN.value, S.PARTIAL.value]
# Not ended: these hold a reservation, and a bot has at most one a side.
ACTIVE_STATES = [S.PLANNED.value, *DOUBTFUL_STATES, *RESTING_STATES]
# Ended. Only the correction of a manual resolution leads out of one.
TERMINAL_STATES = [state.value for state in S if state.value not in ACTIVE_STATES]

# For the constraints of the table: states that cannot carry fills, and states of orders that may never have been sent.
UNFILLED_STATES = [S.PLANNED.value, S.REJECTED.value, S.NOT_PLACED.value]
NEVER_SENT = [S.PLANNED.value, S.NOT_PLACED.value]


def is_legal(current: str, new: str) -> bool:
    """Whether an order in state `current` may go to state `new`. Staying in a state is not a transition."""
    return current in set(S) and new in TRANSITIONS[S(current)]


def check_transition(current: str, new: str, *, client_order_id: str) -> None:
    """Raises IllegalTransition for a pair that is not in the table."""
    if not is_legal(current, new):
        raise IllegalTransition(
            f"The order {client_order_id} is {current}: it cannot become {new}.",
            client_order_id=client_order_id,
            current=current,
            new=new,
        )


def as_mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {INITIAL_STATE.value}: decided"]
    for state, following in TRANSITIONS.items():
        lines += [f"    {state.value} --> {new.value}: {event}" for new, event in following.items()]
        if state.value in TERMINAL_STATES:
            lines.append(f"    {state.value} --> [*]")
    return "\n".join(lines)


def as_markdown() -> str:
    """Every state with its meaning and its classes, as a Markdown table."""
    lines = ["| state | class | meaning |", "|---|---|---|"]
    lines += [f"| `{state.value}` | {_classes(state)} | {meaning} |" for state, meaning in MEANINGS.items()]
    return "\n".join(lines)


def _classes(state: IntentState) -> str:
    if state.value in TERMINAL_STATES:
        return "terminal"
    if state.value in DOUBTFUL_STATES:
        return "active, doubtful"
    return "active, on the order book" if state.value in RESTING_STATES else "active"

"""The gates before live trading, in one place: connecting a live key, starting a live bot, raising a cap.

Paper passes every gate. All unmet gates are named at once, each with how to meet it.
"""

from datetime import datetime
from typing import Any

from apps.core.errors import Forbidden
from apps.core.identity.assurance import Assurance
from apps.core.terms import Mode, Term
from apps.risk.live_trading import DISABLED, is_live_trading_on


class Gate(Term):
    """`installation`: operators let live trading happen. The others are the caller's own."""

    INSTALLATION = "installation"
    EMAIL_VERIFIED = "email_verified"
    MFA = "mfa"
    STEP_UP = "step_up"


class LiveGateUnmet(Forbidden):
    """`details`: `gate` is the first unmet one, `gates` all of them, each with `how_to_meet`."""

    code = "live_gate_unmet"


_HOW = {
    Gate.INSTALLATION: DISABLED,
    Gate.EMAIL_VERIFIED: (
        "Verify the e-mail address: send the code that was mailed at registration to POST /api/v1/auth/email/verify, "
        "with this access token or your password, then refresh the access token."
    ),
    Gate.MFA: (
        "Set up two-factor log-in (POST /api/v1/auth/mfa/setup and /auth/mfa/confirm, or a passkey with "
        "/auth/passkeys/register), then refresh the access token."
    ),
    Gate.STEP_UP: (
        "Prove the second factor now (POST /api/v1/auth/step-up with a one-time password or a passkey), and repeat the "
        "call with the access token of the answer within five minutes."
    ),
}


def gates_unmet(*, assurance: Assurance, now: datetime) -> list[Gate]:
    """The gates before live trading that are shut for this caller, in the order in which they are to be met."""
    is_open = {
        Gate.INSTALLATION: is_live_trading_on(),
        Gate.EMAIL_VERIFIED: assurance.has_verified_email,
        Gate.MFA: assurance.has_mfa,
        Gate.STEP_UP: assurance.has_fresh_step_up(now=now),
    }
    return [gate for gate in Gate if not is_open[gate]]


def refuse_unmet_gates(mode: str, *, act: str, assurance: Assurance, now: datetime) -> None:
    """`act` is what the caller wants, such as "Starting a live bot". Raises LiveGateUnmet for any mode but paper."""
    if mode == Mode.PAPER:
        return
    unmet = gates_unmet(assurance=assurance, now=now)
    if unmet:
        raise LiveGateUnmet(
            f"{act} is not possible yet. {_HOW[unmet[0]]}",
            gate=unmet[0].value,
            gates=[_described(gate) for gate in unmet],
        )


def _described(gate: Gate) -> dict[str, Any]:
    return {"gate": gate.value, "how_to_meet": _HOW[gate]}

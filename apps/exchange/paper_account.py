"""Opens accounts on the paper exchange: its one call that Kraken does not have."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import requests

from apps.core.money import plain
from apps.core.service_calls import service_call
from apps.core.terms import Mode
from apps.exchange.addresses import exchange_url
from apps.exchange.errors import AccountNotOpened, ExchangeUnavailable

TIMEOUT_SECONDS = (3.0, 10.0)


@dataclass(frozen=True, slots=True, repr=False)
class PaperAccount:
    """The new account's API key and secret, in plain text."""

    account_id: UUID
    api_key: str
    api_secret: str


def paper_account_open(*, owner_id: UUID, label: str, deposits: Mapping[str, Decimal]) -> PaperAccount:
    """Opens the owner's account of that label with paper deposits (amounts by asset code).

    Idempotent: the same owner and label give the same account. Raises ExchangeUnavailable, AccountNotOpened.
    """
    body = {
        "owner_id": str(owner_id),
        "label": label,
        "deposits": {asset: plain(amount) for asset, amount in deposits.items()},
    }
    url = f"{exchange_url(Mode.PAPER).rstrip('/')}/paper/accounts"
    try:
        response = service_call("POST", url, audience="paper", timeout=TIMEOUT_SECONDS, body=body)
    except requests.RequestException as error:
        raise ExchangeUnavailable(f"The paper exchange does not answer ({type(error).__name__}).") from error
    return _account(response)


def _account(response: requests.Response) -> PaperAccount:
    if 400 <= response.status_code < 500:
        raise AccountNotOpened("The paper exchange did not open an account.", status=response.status_code)
    try:
        facts = response.json()
        account = PaperAccount(UUID(facts["account_id"]), str(facts["api_key"]), str(facts["api_secret"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ExchangeUnavailable("The paper exchange's answer cannot be read.") from error
    return account

"""Expected failures of the paper exchange: unusable market data, and refusals in Kraken's error texts."""

from pathlib import Path
from typing import ClassVar

from apps.core.errors import PlatformError, Refused


class UnusableMarketData(PlatformError):
    """The market cannot be replayed. The message is one sentence for the operator who starts the exchange."""

    code = "unusable_market_data"
    http_status = 500


class UnreadableCandleFile(UnusableMarketData):
    code = "unreadable_candle_file"


class MalformedCandleFile(UnusableMarketData):
    """A candle file violates the format. `line` counts from 1; None means the file's name, or the file as a whole."""

    code = "malformed_candle_file"

    def __init__(self, path: Path, line: int | None, problem: str) -> None:
        where = f", line {line}" if line else ""
        super().__init__(f"The candle file {path}{where}: {problem}.", line=line, problem=problem)
        self.line = line
        self.problem = problem


class UnknownFeeSchedule(Refused):
    code = "unknown_fee_schedule"


class UnknownAsset(Refused):
    code = "unknown_asset"


class KrakenRefusal(PlatformError):
    """A refusal in Kraken's format, ``E<category>:<text>[:<extra>]``, always sent with HTTP status 200.

    Source of the texts: Kraken's list of Spot API errors, and recorded answers where the list is silent.
    """

    code = "exchange_refusal"
    text: ClassVar[str] = "EGeneral:Internal error"

    def __init__(self, extra: str | None = None) -> None:
        super().__init__(f"{self.text}:{extra}" if extra else self.text)


class InvalidKey(KrakenRefusal):
    text = "EAPI:Invalid key"


class InvalidSignature(KrakenRefusal):
    text = "EAPI:Invalid signature"


class InvalidNonce(KrakenRefusal):
    text = "EAPI:Invalid nonce"


class TemporaryLockout(KrakenRefusal):
    text = "EGeneral:Temporary lockout"


class PermissionDenied(KrakenRefusal):
    text = "EGeneral:Permission denied"


class UnknownMethod(KrakenRefusal):
    text = "EGeneral:Unknown method"


class InvalidArguments(KrakenRefusal):
    """`extra` names the parameter."""

    text = "EGeneral:Invalid arguments"


class InternalError(KrakenRefusal):
    text = "EGeneral:Internal error"


class ServiceUnavailable(KrakenRefusal):
    text = "EService:Unavailable"


class MarketInCancelOnlyMode(KrakenRefusal):
    text = "EService:Market in cancel_only mode"


class DeadlineElapsed(KrakenRefusal):
    text = "EService:Deadline elapsed"


class UnknownAssetPair(KrakenRefusal):
    text = "EQuery:Unknown asset pair"


class UnknownAssetName(KrakenRefusal):
    text = "EQuery:Unknown asset"


class InvalidOrder(KrakenRefusal):
    text = "EOrder:Invalid order"


class UnknownOrder(KrakenRefusal):
    text = "EOrder:Unknown order"


class InvalidPrice(KrakenRefusal):
    text = "EOrder:Invalid price"


class TickSizeCheckFailed(KrakenRefusal):
    text = "EOrder:Tick size check failed"


class OrderMinimumNotMet(KrakenRefusal):
    text = "EOrder:Order minimum not met"


class CostMinimumNotMet(KrakenRefusal):
    text = "EOrder:Cost minimum not met"


class InsufficientFunds(KrakenRefusal):
    text = "EOrder:Insufficient funds"


class OrdersLimitExceeded(KrakenRefusal):
    text = "EOrder:Orders limit exceeded"


class ClientOrderIdInUse(KrakenRefusal):
    """Kraken has not published its text; clients look for `cl_ord_id` in it."""

    text = "EOrder:cl_ord_id already in use"


class PostOnlyOrder(KrakenRefusal):
    text = "EOrder:Post only order"

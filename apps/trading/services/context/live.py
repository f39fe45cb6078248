"""The execution context of the running platform: the exchange account that a run's stored credential opens."""

from apps.exchange.port import Exchange
from apps.trading.errors import WrongMode
from apps.trading.models.runs import BotRun
from apps.trading.services.context.dependencies import ExecutionContext
from apps.vault.selectors import credential_open, credential_refuse_unusable
from apps.vault.services.refused_keys import exchange_of_credential


def exchange_of(run: BotRun) -> Exchange:
    """Raises WrongMode, and what opening a credential raises."""
    credential = credential_open(credential_id=run.credential_id, user_id=run.user_id)
    if credential.mode != run.mode:
        raise WrongMode(f"A {run.mode} bot cannot trade with a {credential.mode} key.", mode=run.mode)
    return exchange_of_credential(credential, caller=str(run.bot_id))


def refuse_unusable_key(run: BotRun) -> None:
    """Raises KeyNotConnected, KeySuspended."""
    credential_refuse_unusable(credential_id=run.credential_id, user_id=run.user_id)


LIVE_CONTEXT = ExecutionContext(open_exchange=exchange_of, check_key=refuse_unusable_key)

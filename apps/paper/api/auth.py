"""Authentication of private calls: key, signature over the raw body, nonce, checked in Kraken's order."""

from datetime import datetime

from django.http import HttpRequest

from apps.paper import selectors
from apps.paper.api.params import Params
from apps.paper.errors import InvalidKey, InvalidNonce, InvalidSignature, TemporaryLockout
from apps.paper.models import ApiKey
from apps.paper.services.accounts import key_secret
from apps.paper.services.keys import key_failure_record, nonce_use
from apps.paper.signature import is_signed


def authenticate(request: HttpRequest, params: Params, *, now: datetime) -> ApiKey:
    """The API key of a signed call. Consumes the nonce.

    Raises InvalidKey, InvalidSignature, InvalidNonce, and TemporaryLockout after too many of the first two.
    """
    key = request.headers.get("API-Key", "")
    nonce = params.text("nonce")
    api_key, is_locked = selectors.key_find(key, now=now)
    if is_locked:
        raise TemporaryLockout
    if api_key is None:
        key_failure_record(key=key, now=now)
        raise InvalidKey
    if nonce is None:
        raise InvalidNonce
    signature = request.headers.get("API-Sign", "")
    secret = key_secret(api_key)
    if not is_signed(signature, secret=secret, path=request.path, nonce=nonce, body=request.body):
        key_failure_record(key=key, now=now)
        raise InvalidSignature
    nonce_use(key=key, nonce=nonce, now=now)
    return api_key

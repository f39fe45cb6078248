from django.db import models


class ExchangeNonce(models.Model):
    """The highest nonce that an API key was signed with. `key_digest` is the SHA-256 of the API key.

    An exchange refuses every nonce that is not above the key's last one. A clock that was set back would repeat
    nonces, so the last one is stored.
    """

    key_digest = models.CharField(max_length=64, primary_key=True)
    last_nonce = models.BigIntegerField()
    used_at = models.DateTimeField()

    class Meta:
        db_table = "exchange_nonce"

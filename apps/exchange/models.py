from django.db import models


class ExchangeNonce(models.Model):
    """The highest nonce that an API key was ever signed with. `key_digest` is the SHA-256 of the public half.

    An exchange refuses a nonce that is not above the key's last one, for ever: a clock that was set back must not
    repeat one, so the number is kept, not computed.
    """

    key_digest = models.CharField(max_length=64, primary_key=True)
    last_nonce = models.BigIntegerField()
    used_at = models.DateTimeField()

    class Meta:
        db_table = "exchange_nonce"

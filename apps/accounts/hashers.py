from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2idHasher(Argon2PasswordHasher):
    """Argon2id with 46 MiB, two passes, one lane: twice the work of OWASP's first recommendation.

    Django's default takes 100 MiB and eight threads per hash: a few concurrent log-ins would exhaust the host's memory.
    (OWASP Password Storage Cheat Sheet, "Argon2id".)
    """

    time_cost = 2
    memory_cost = 47104
    parallelism = 1

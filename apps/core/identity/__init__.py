"""Who calls and what they may do: tokens, machine keys, ended sessions, the caller, the rule of a view, the actor.

Every service verifies by itself, from tables and public keys. The user service alone (apps/accounts) issues and
revokes.

    who is it       `access_tokens` (users), `machine_keys` (scripts), `service_token` (services), `verified_tokens`
    does it count   `verification_keys`, `revocations`
    the caller      `principal`, with `assurance` (address, second factor, step-up) and `client_info`
    may they        `access`: one rule a view
    for the audit   `actor`
"""

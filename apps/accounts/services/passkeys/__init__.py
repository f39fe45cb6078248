"""Passkeys (WebAuthn Level 3, https://www.w3.org/TR/webauthn-3/): registration, log-in, step-up, management."""

"""Metrics of accounts."""

from apps.core.metrics import counter

notices = counter(
    "security_notices_total", "Security notices raised for staff, by kind.", ["kind"], processes=["user-consumer"]
)

from django.apps import AppConfig

# A killed member's partitions stay with it for so long. Shortened, as a round of kills is meant to last seconds.
SESSION_TIMEOUT_MS = 3_000
HEARTBEAT_MS = 1_000


class WitnessConfig(AppConfig):
    name = "tests.chaos.witness"
    label = "chaos_witness"

    def ready(self) -> None:
        from apps.events.brokers.kafka import consumer

        consumer.SESSION_TIMEOUT_MS = SESSION_TIMEOUT_MS
        consumer.HEARTBEAT_MS = HEARTBEAT_MS

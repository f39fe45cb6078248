"""The consumers of the read models as a process of its own: python -m ... TOPIC

Events come from the test's topic; status messages straight from the outbox, as they would over RabbitMQ: beside the
events and in any order to them.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def main(topic: str) -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
    os.environ["DJANGO_SETTINGS_MODULE"] = "staff_site.settings"

    import django

    django.setup()

    from apps.bots.consumers import READ_MODELS
    from apps.events.consumers.delivery import deliver
    from apps.events.consumers.group import GroupConsumer
    from apps.events.consumers.registry import load_consumers
    from apps.events.models import OutboxRow, StoredEvent
    from apps.events.process.threads import WorkerThreads
    from apps.events.process.worker_command import run
    from apps.events.store.selectors import envelope_of

    class Statuses:
        def step(self) -> float:
            rows = list(OutboxRow.objects.filter(transport="rabbitmq").order_by("-id")[:20])
            for row in rows:
                deliver(envelope_of(StoredEvent.objects.get(event_id=row.event_id)), group=READ_MODELS)
                row.delete()
            return 0.0 if rows else 0.05

        def close(self) -> None:
            pass

    load_consumers()
    run(WorkerThreads({"events": lambda: GroupConsumer(READ_MODELS, topics=[topic]), "statuses": Statuses}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A consumer group as a process of its own, on a test's topic: python -m ... GROUP TOPIC SECONDS_PER_EVENT"""

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def main(group: str, topic: str, seconds: str) -> None:
    sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
    os.environ["DJANGO_SETTINGS_MODULE"] = "staff_site.settings"

    import django

    django.setup()

    from apps.events.consumers import group as group_module
    from apps.events.consumers.registry import consumes
    from apps.events.process.threads import WorkerThreads
    from apps.events.process.worker_command import run
    from apps.messages.envelope import Envelope
    from apps.messages.user import UserUpdated
    from tests.support.consumers import Listener

    listener = Listener(group=group)

    def handle(message: UserUpdated, envelope: Envelope) -> None:
        listener.handle(message, envelope)
        time.sleep(float(seconds))

    consumes(UserUpdated, group=group)(handle)
    setattr(group_module, "topics_of", lambda _: [topic])  # noqa: B010  (a name that the module imports)
    run(WorkerThreads({group: lambda: group_module.GroupConsumer(group)}))


if __name__ == "__main__":
    main(*sys.argv[1:])

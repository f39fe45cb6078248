"""A Celery worker of the platform: `python -m service_common.celery_worker -n NAME@%h -Q QUEUES -c PROCESSES`.

The program `celery` cannot do it: it imports Flower, and with it prometheus_client, before the application. Metrics of
the pool's processes could not be shared any more.
"""

import shutil
import sys

from service_common.multiprocess_metrics import share_metrics

# Without Celery's start-up chatter (gossip, mingle): no worker needs to know another.
OPTIONS = ("--without-gossip", "--without-mingle", "-l", "INFO")


def main() -> None:
    folder = share_metrics()
    from celery.__main__ import main as celery

    sys.argv = ["celery", "-A", "celery_app", "worker", *sys.argv[1:], *OPTIONS]
    try:
        celery()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

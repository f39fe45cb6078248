"""The streams: the ASGI side of the kraken service, in a process of its own."""

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "kraken_service.settings"
django.setup(set_prefix=False)

from apps.bots.stream.asgi import Application  # noqa: E402
from apps.core.process_table import PROCESSES  # noqa: E402

application = Application(threads=PROCESSES["stream"].threads)

import celery_app  # noqa: E402, F401  (without it this process would publish with Celery's default application)

import os

from service_common import wsgi

os.environ["DJANGO_SETTINGS_MODULE"] = "bot_service.settings"
application = wsgi.application()

import celery_app  # noqa: E402, F401  (without it this process would publish with Celery's default application)

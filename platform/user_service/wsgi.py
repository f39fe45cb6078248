import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "user_service.settings"
application = get_wsgi_application()

import celery_app  # noqa: E402, F401  (without it this process would publish with Celery's default application)

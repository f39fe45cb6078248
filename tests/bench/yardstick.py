"""What the authenticated reads are measured against: a bare Django REST framework view behind an ES256 token, which
simplejwt verifies each time, with one query by primary key. No middleware, no log line, persistent connections.

gunicorn serves `application`; READS_PUBLIC_KEY is the PEM of the key that verifies tokens.
"""

import os
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings

_url = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="a yardstick signs nothing, but Django asks for a key",
    ROOT_URLCONF="tests.bench.yardstick",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"],
    USE_TZ=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _url.path.lstrip("/"),
            "HOST": _url.hostname,
            "PORT": _url.port,
            "USER": unquote(_url.username or ""),
            "PASSWORD": unquote(_url.password or ""),
            "CONN_MAX_AGE": None,
            "OPTIONS": {"options": "-c search_path=kraken"},
        }
    },
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    SIMPLE_JWT={
        "ALGORITHM": "ES256",
        "VERIFYING_KEY": os.environ["READS_PUBLIC_KEY"],
        "ISSUER": "muckard",
        "AUDIENCE": "muckard-api",
    },
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models  # noqa: E402
from django.shortcuts import get_object_or_404  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


class Bot(models.Model):
    id = models.UUIDField(primary_key=True)
    name = models.TextField()
    pair = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        app_label = "auth"
        managed = False
        db_table = "bot"


class BareView(APIView):
    def get(self, request: Request, bot_id: Any) -> Response:
        bot = get_object_or_404(Bot, pk=bot_id)
        return Response({"id": bot.id, "name": bot.name, "pair": bot.pair, "created_at": bot.created_at})


urlpatterns = [path("bare/<uuid:bot_id>", BareView.as_view())]
application = get_wsgi_application()

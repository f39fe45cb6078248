"""Whether the console can serve: it always can, and says which service it cannot ask."""

from concurrent.futures import ThreadPoolExecutor

import httpx
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from apps.console.api_client.base import http_client
from apps.console.pages.base import Page
from apps.core.identity.access import ANYONE

SERVICES = ("user", "kraken")


class ReadyPage(Page):
    """200 with what is down by name: a page then says so."""

    access = ANYONE

    def get(self, request: HttpRequest, **kwargs: object) -> HttpResponse:
        with ThreadPoolExecutor(len(SERVICES)) as pool:
            states = dict(zip((f"{name} service" for name in SERVICES), pool.map(_is_up, SERVICES), strict=True))
        cache.set("console-health", "1", timeout=5)
        states["redis"] = cache.get("console-health") == "1"
        down = [name for name, is_up in states.items() if not is_up]
        return JsonResponse(
            {
                "service": settings.SERVICE,
                "status": "degraded" if down else "ready",
                "degraded": down,
                "dependencies": [
                    {"name": name, "state": "up" if is_up else "down", "detail": "", "required": False}
                    for name, is_up in states.items()
                ],
                "as_of": timezone.now().isoformat(),
            }
        )


def _is_up(service: str) -> bool:
    env = settings.ENVIRONMENT
    url = f"http://{getattr(env, f'{service}_host')}:{getattr(env, f'{service}_port')}/health/live"
    try:
        return http_client().get(url, timeout=1.0).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False

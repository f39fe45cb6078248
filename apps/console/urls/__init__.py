"""Below /app/: the pages of each area in a list of their own."""

from django.urls import include, path

from apps.console.health import ReadyPage
from apps.console.urls.account_urls import account_urls
from apps.console.urls.trading_urls import trading_urls

urlpatterns = [
    path("health/ready", ReadyPage.as_view()),
    path("app/", include([*account_urls, *trading_urls])),
]

"""Kraken's API at the root, where its clients expect it, and the platform's own endpoints below ``/paper``."""

from django.urls import path

from apps.paper.api import views
from apps.paper.api.accounts import AccountCreateView, MarketListView

urlpatterns = [
    path("0/public/<str:method>", views.public),
    path("0/private/<str:method>", views.private),
    path("paper/accounts", AccountCreateView.as_view()),
    path("paper/market", MarketListView.as_view()),
]

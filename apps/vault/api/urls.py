from django.urls import path

from apps.vault.api import views

urlpatterns = [
    path("kraken/connect", views.KeyConnectView.as_view()),
    path("kraken/keys", views.KeyListView.as_view()),
    path("kraken/keys/<uuid:key_id>", views.KeyDetailView.as_view(), name="exchange-key"),
    path("kraken/keys/<uuid:key_id>/test", views.KeyTestView.as_view()),
    path("kraken/keys/<uuid:key_id>/rotate", views.KeyRotateView.as_view()),
    path("kraken/keys/<uuid:key_id>/balances", views.KeyBalancesView.as_view()),
]

from django.urls import path

from apps.market.api import views

urlpatterns = [
    path("kraken/status", views.ExchangeStatusView.as_view()),
    path("trading/pairs", views.PairListView.as_view()),
    path("trading/ticker", views.TickerView.as_view()),
    path("trading/ohlc", views.OhlcView.as_view()),
    path("trading/orderbook", views.OrderBookView.as_view()),
]

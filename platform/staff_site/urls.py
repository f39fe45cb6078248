from django.contrib import admin
from django.urls import path

from apps.accounts.staff_access import authorize, two_factor
from apps.accounts.staff_password import staff_password
from apps.ops.api.views import PlatformHealthView
from apps.ops.dashboard.views import dashboard_figures, dashboard_history, dashboard_page
from apps.ops.event_browser.views import event_chain, event_export, event_one, event_replay, event_search
from service_common.urls import common_urls, handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

urlpatterns = [
    *common_urls(),
    path("health/platform", PlatformHealthView.as_view()),
    path("admin/two-factor/", two_factor),
    path("admin/authorize/<str:area>", authorize),
    path("admin/password_change/", staff_password),
    path("admin/dashboard/", dashboard_page, name="dashboard"),
    path("admin/dashboard/figures.json", dashboard_figures, name="dashboard-figures"),
    path("admin/dashboard/history.json", dashboard_history, name="dashboard-history"),
    path("admin/event-browser/", event_search, name="event-browser"),
    path("admin/event-browser/event/<uuid:event_id>/", event_one, name="event-browser-event"),
    path("admin/event-browser/chain/<uuid:correlation_id>/", event_chain, name="event-browser-chain"),
    path("admin/event-browser/replay/", event_replay, name="event-browser-replay"),
    path("admin/event-browser/export/", event_export, name="event-browser-export"),
    path("admin/", admin.site.urls),
]

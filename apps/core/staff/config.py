"""Django's admin with the staff site of this platform in place of its own. For INSTALLED_APPS of the staff site."""

from django.contrib.admin.apps import AdminConfig


class StaffAdminConfig(AdminConfig):
    default_site = "apps.core.staff.site.StaffSite"

from service_common.urls import common_urls

urlpatterns = common_urls()

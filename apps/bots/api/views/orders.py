"""Orders, with what was observed of them."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.bots.api.pagination import OrderPagination
from apps.bots.api.serializers.orders import OrderDetailSerializer, OrderFilterSerializer, OrderSerializer
from apps.bots.selectors.orders import order_get, order_list
from apps.core.api.requests import operation
from apps.core.api.schema import error_responses
from apps.core.api.views import PagedTraderView, TraderView
from apps.core.identity.principal import principal_of


@extend_schema(tags=["Trading"])
class OrderListView(PagedTraderView):
    pagination_class = OrderPagination

    @operation(query=OrderFilterSerializer, responses={200: OrderSerializer(many=True), **error_responses(401, 403)})
    def get(self, request: Request) -> Response:
        """Every order of the caller's bots, newest first, in whatever state."""
        return self.page_of(order_list(user_id=principal_of(request).user_id, **self.query), OrderSerializer)


@extend_schema(tags=["Trading"])
class OrderView(TraderView):
    @operation(responses={200: OrderDetailSerializer, **error_responses(401, 403, 404)})
    def get(self, request: Request, order_id: UUID) -> Response:
        """One order, each step of its life with its evidence, and its fills."""
        return Response(OrderDetailSerializer(order_get(order_id=order_id, user_id=principal_of(request).user_id)).data)

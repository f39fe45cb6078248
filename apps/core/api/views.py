"""Bases of every view: what a call takes is read before its handler runs, and nothing else may be in the request."""

from collections.abc import Callable, Collection, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

from django.conf import settings
from django.db.models import QuerySet
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from structlog.contextvars import bind_contextvars

from apps.core.api.answers import shown
from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.machine_key_access import MachineKeyAccess, refuse_call, refuse_missing_scopes
from apps.core.api.machine_key_use import note_use
from apps.core.api.pagination import NewestFirstPagination
from apps.core.api.requests import Operation, RequestSerializer, operation_of
from apps.core.identity.access import TRADERS, ByAccess, Rule
from apps.core.identity.actor import identify_actor
from apps.core.identity.principal import MachineKeyPrincipal, Principal
from apps.core.quotas import Scope, counter
from apps.core.terms import Mode


class ByAcceptHeader(DefaultContentNegotiation):
    """DRF also reads a query parameter `format`. No call has one, so it is as unknown as any other."""

    settings = SimpleNamespace(URL_FORMAT_OVERRIDE=None)  # type: ignore[assignment]

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        # What nearly every client sends is not parsed.
        if request.META.get("HTTP_ACCEPT", "*/*") in ("*/*", renderers[0].media_type):
            return renderers[0], renderers[0].media_type
        chosen: tuple[BaseRenderer, str] = super().select_renderer(request, renderers, format_suffix)
        return chosen


class ApiView(APIView):
    """`query` and `body` hold the valid fields that the handler's `operation` declares.

    A request with any other field or query parameter is answered 400 `unknown_field`, after the caller was identified
    and before the handler runs. A handler without a declaration takes neither. `access` says who may call, for all
    methods or for each; without it no caller may.
    """

    content_negotiation_class = ByAcceptHeader
    # Which of the caller's quotas a request counts against that is no read
    changes: ClassVar[Scope] = Scope.TRADE
    # What machine keys may call of it
    machine_keys: ClassVar[MachineKeyAccess] = MachineKeyAccess.READ
    permission_classes = (ByAccess,)
    # OPTIONS is not one of our calls; the gateway answers the preflight requests of browsers.
    metadata_class = None
    access: ClassVar[Rule | None] = None
    query: dict[str, Any]
    body: dict[str, Any]

    def perform_authentication(self, request: Request) -> None:
        """Names the caller before permissions and throttles, which may publish."""
        super().perform_authentication(request)
        caller: Any = request.user
        ids: dict[str, Any] = {}
        if isinstance(caller, Principal):
            identify_actor(caller.actor)
            ids["user_id"] = caller.user_id
        # A user whom the path names is the one that the lines are about.
        ids |= {name: value for name, value in self.kwargs.items() if name.endswith("_id")}
        bind_contextvars(**{name: str(value) for name, value in ids.items()})

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        caller: Any = request.user
        name = "get" if request.method == "HEAD" else str(request.method).lower()
        handler = getattr(type(self), name, None)
        if handler is None or name == "options":
            return
        declared = operation_of(handler)
        self.query, self.body = declared.read(
            request, body=self.body_serializer(declared), page_parameters=self.page_parameters()
        )
        if isinstance(caller, MachineKeyPrincipal):
            if request.method not in SAFE_METHODS:
                refuse_missing_scopes(caller, self.trades_in(request, **kwargs))
            note_use(caller)

    def trades_in(self, request: Request, **kwargs: Any) -> Collection[Mode]:
        """The modes that a request of a machine key concerns, in a view that keys may trade with. All, if not said.

        Raises NotFound for what is not the caller's.
        """
        return tuple(Mode)

    def check_permissions(self, request: Request) -> None:
        """Also refuses machine keys what they may not call. Raises MachineKeyNotAllowed, DRF's PermissionDenied."""
        refuse_call(request.user, method=str(request.method), access=self.machine_keys)
        super().check_permissions(request)

    def check_throttles(self, request: Request) -> None:
        """Also takes from the caller's quota. Raises QuotaExceeded, DRF's Throttled."""
        super().check_throttles(request)
        caller: Any = request.user
        if isinstance(caller, Principal):
            scope = Scope.READ if request.method in SAFE_METHODS else self.changes
            counter.spend(user_id=caller.user_id, scope=scope, quota=settings.QUOTAS[scope])

    def body_serializer(self, declared: Operation) -> type[RequestSerializer]:
        """The serializer of this request's body. A view that declares several chooses here."""
        assert isinstance(declared.body, type), f"{type(self).__name__} declares several bodies and chooses none."
        return declared.body

    def page_parameters(self) -> Collection[str]:
        """Query parameters that pagination reads."""
        return ()


class PagedView(ApiView):
    """A list by pages; the OpenAPI document learns of them from `pagination_class`."""

    pagination_class: type[NewestFirstPagination] = NewestFirstPagination

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.page_parameters():
            self.pagination_class().check(request)

    def page_parameters(self) -> Collection[str]:
        if self.request.method not in ("GET", "HEAD"):
            return ()
        return (self.pagination_class.cursor_query_param, str(self.pagination_class.page_size_query_param))

    def page_of(
        self,
        queryset: QuerySet[Any],
        serializer: type[BaseSerializer[Any]],
        *,
        prepare: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
        context: dict[str, Any] | None = None,
    ) -> Response:
        """One page; `prepare` turns its rows into what the serializer takes. Raises Malformed for a foreign cursor."""
        pages = self.pagination_class()
        rows: Sequence[Any] = pages.paginate_queryset(queryset, self.request, self) or []
        rows = prepare(rows) if prepare else rows
        if context:
            return pages.get_paginated_response(serializer(rows, many=True, context=context).data)
        return pages.get_paginated_response([shown(serializer, row) for row in rows])


class SafetyChanges:
    """Mixin: what stops bots and cancels orders has a quota of its own, that nothing else can use up."""

    changes: ClassVar[Scope] = Scope.SAFETY


class TraderView(IdempotentMutations, ApiView):
    """For traders; mutations honour Idempotency-Key."""

    access = TRADERS


class PagedTraderView(TraderView, PagedView):
    """A trader's list by pages."""

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.idempotency import IdempotentMutations
from apps.core.api.requests import Operation, RequestSerializer, operation
from apps.core.api.schema import error_responses
from apps.core.api.views import ApiView
from apps.core.identity.access import USERS
from apps.core.identity.principal import principal_of
from apps.core.quotas import Scope
from apps.onboarding import selectors, services
from apps.onboarding.api.serializers import STEP_SERIALIZERS, AnyStep, OnboardingStateSerializer
from apps.onboarding.errors import NoSuchStep
from apps.onboarding.models import OnboardingStep


@extend_schema(tags=["Onboarding"])
class OnboardingView(ApiView):
    access = USERS

    @operation(responses={200: OnboardingStateSerializer, **error_responses(401)})
    def get(self, request: Request) -> Response:
        """Where you stand on the way to your first bot."""
        state = selectors.onboarding_get(user_id=principal_of(request).user_id)
        return Response(OnboardingStateSerializer(state).data)


@extend_schema(tags=["Onboarding"])
class OnboardingStepView(IdempotentMutations, ApiView):
    changes = Scope.ACCOUNT
    access = USERS

    def body_serializer(self, declared: Operation) -> type[RequestSerializer]:
        return STEP_SERIALIZERS[_step_named(self.kwargs["step"])]

    @operation(
        parameters=[OpenApiParameter("step", str, "path", enum=OnboardingStep.Name.values)],
        body=AnyStep,
        responses={200: OnboardingStateSerializer, **error_responses(401, 404, 409, 422)},
    )
    def post(self, request: Request, step: str) -> Response:
        """Do a step: profile, terms, risk_profile, exchange_key, first_bot, in this order.

        A step can be done over until the last one is done.
        """
        state = services.step_complete(
            user_id=principal_of(request).user_id, name=_step_named(step), answer=dict(self.body), now=timezone.now()
        )
        return Response(OnboardingStateSerializer(state).data)


def _step_named(text: str) -> OnboardingStep.Name:
    """Hyphens are as good as underscores in a path."""
    try:
        return OnboardingStep.Name(text.replace("-", "_"))
    except ValueError:
        names = ", ".join(OnboardingStep.Name.values)
        raise NoSuchStep(f"There is no such step. The steps are {names}.") from None

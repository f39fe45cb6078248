"""Below /api/v1/ of the user service."""

from django.urls import path

from apps.onboarding.api.views import OnboardingStepView, OnboardingView

urlpatterns = [
    path("onboarding", OnboardingView.as_view()),
    path("onboarding/<str:step>", OnboardingStepView.as_view()),
]

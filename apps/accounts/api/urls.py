"""Below /api/v1/ of the user service."""

from django.urls import path

from apps.accounts.api.views import auth, mfa, sessions, users

urlpatterns = [
    path("auth/register", auth.UserRegisterView.as_view()),
    path("auth/login", auth.UserLogInView.as_view()),
    path("auth/refresh", auth.TokenRefreshView.as_view()),
    path("auth/logout", auth.UserLogOutView.as_view()),
    path("auth/password/forgot", auth.PasswordForgotView.as_view()),
    path("auth/password/reset", auth.PasswordResetView.as_view()),
    path("auth/email/verify", auth.EmailVerifyView.as_view()),
    path("auth/mfa/setup", mfa.MfaSetUpView.as_view()),
    path("auth/mfa/confirm", mfa.MfaConfirmView.as_view()),
    path("auth/mfa/disable", mfa.MfaDisableView.as_view()),
    path("auth/step-up", mfa.StepUpView.as_view()),
    path("auth/sessions", sessions.SessionListView.as_view()),
    path("auth/sessions/<uuid:session_id>", sessions.SessionEndView.as_view()),
    path("user/me", users.UserMeView.as_view()),
    path("user/me/password", users.PasswordChangeView.as_view()),
    path("user/me/activity", users.UserActivityView.as_view()),
    path("user", users.UserListView.as_view()),
    path("user/<uuid:user_id>", users.UserView.as_view()),
]

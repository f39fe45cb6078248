"""Below /api/v1/ of the user service."""

from django.urls import path

from apps.accounts.api.views import auth, export, machine_keys, mfa, passkeys, sessions, users

urlpatterns = [
    path("auth/register", auth.UserRegisterView.as_view()),
    path("auth/login", auth.UserLogInView.as_view()),
    path("auth/refresh", auth.TokenRefreshView.as_view()),
    path("auth/logout", auth.UserLogOutView.as_view()),
    path("auth/password/forgot", auth.PasswordForgotView.as_view()),
    path("auth/password/reset", auth.PasswordResetView.as_view()),
    path("auth/email/verify", auth.EmailVerifyView.as_view()),
    path("auth/email/resend", auth.EmailResendView.as_view()),
    path("auth/email/change/confirm", auth.EmailChangeConfirmView.as_view()),
    path("auth/email/change/revert", auth.EmailChangeRevertView.as_view()),
    path("auth/mfa/setup", mfa.MfaSetUpView.as_view()),
    path("auth/mfa/confirm", mfa.MfaConfirmView.as_view()),
    path("auth/mfa/disable", mfa.MfaDisableView.as_view()),
    path("auth/step-up", mfa.StepUpView.as_view()),
    path("auth/passkeys/register/options", passkeys.PasskeyRegisterOptionsView.as_view()),
    path("auth/passkeys/register", passkeys.PasskeyRegisterView.as_view()),
    path("auth/passkeys/login/options", passkeys.PasskeyLogInOptionsView.as_view()),
    path("auth/passkeys/login", passkeys.PasskeyLogInView.as_view()),
    path("auth/passkeys/step-up/options", passkeys.PasskeyStepUpOptionsView.as_view()),
    path("auth/passkeys", passkeys.PasskeyListView.as_view()),
    path("auth/passkeys/<uuid:passkey_id>", passkeys.PasskeyView.as_view()),
    path("auth/sessions", sessions.SessionListView.as_view()),
    path("auth/sessions/<uuid:session_id>", sessions.SessionEndView.as_view()),
    path("auth/api-keys", machine_keys.MachineKeyListView.as_view()),
    path("auth/api-keys/<uuid:key_id>", machine_keys.MachineKeyView.as_view()),
    path("user/me", users.UserMeView.as_view()),
    path("user/me/email", users.EmailChangeView.as_view()),
    path("user/me/password", users.PasswordChangeView.as_view()),
    path("user/me/export", export.UserExportView.as_view()),
    path("user/me/activity", users.UserActivityView.as_view()),
    path("user", users.UserListView.as_view()),
    path("user/<uuid:user_id>", users.UserView.as_view()),
]

"""Traders halt what is theirs; staff and the platform halt anything; and a halted bot does not start."""

from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.bots.models import Bot, BotCommand
from apps.events.models import StoredEvent
from apps.risk.models.halts import Halt, HaltLevel, HaltScope, HaltSource
from apps.risk.models.switches import BotSwitch
from tests.factories.accounts import UserFactory
from tests.factories.bots import TraderClient
from tests.factories.risk import halted
from tests.integration.bots.conftest import World

HALTS = "/api/v1/trading/halts"

pytestmark = [pytest.mark.django_db, pytest.mark.urls("kraken_service.urls")]


class TestTraders:
    def test_a_halt_of_a_bot_is_in_force_until_it_is_lifted(self, trader: TraderClient, bot: Bot) -> None:
        response = trader.post(HALTS, {"scope": "bot", "bot_id": str(bot.id), "level": "reducing", "reason": "A look."})

        assert response.status_code == 201
        halt = response.json()
        assert (halt["scope"], halt["bot_id"], halt["credential_id"]) == ("bot", str(bot.id), None)
        assert (halt["level"], halt["set_by"], halt["reason"]) == ("reducing", "user", "A look.")
        assert trader.get(HALTS).json()["results"] == [halt]

        assert trader.delete(response["Location"]).status_code == 204
        assert trader.delete(response["Location"]).status_code == 204
        assert trader.get(HALTS).json()["results"] == []
        [lifted] = trader.get(HALTS, {"state": "lifted"}).json()["results"]
        assert lifted["lifted_at"] is not None

    def test_halts_of_a_key_and_of_all_bots(self, trader: TraderClient, bot: Bot) -> None:
        of_key = trader.post(HALTS, {"scope": "key", "credential_id": str(bot.credential_id)}).json()
        of_all = trader.post(HALTS, {"scope": "user"}).json()

        assert of_key["credential_id"] == str(bot.credential_id)
        assert (of_all["bot_id"], of_all["credential_id"], of_all["level"]) == (None, None, "halted")
        assert Halt.objects.get(id=of_all["id"]).subject_id == trader.user_id

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"scope": "bot"}, 400, "malformed"),
            ({"scope": "key"}, 400, "malformed"),
            ({"scope": "user", "bot_id": str(uuid4())}, 400, "malformed"),
            ({"scope": "bot", "bot_id": str(uuid4())}, 404, "bot_not_found"),
            ({"scope": "key", "credential_id": str(uuid4())}, 422, "unknown_credential"),
            ({"scope": "platform"}, 400, "malformed"),
            ({"scope": "user", "level": "rather"}, 400, "malformed"),
            ({"scope": "user", "levle": "halted"}, 400, "unknown_field"),
        ],
    )
    def test_what_makes_no_sense_or_is_not_theirs_is_refused(
        self, trader: TraderClient, world: World, body: dict[str, str], status: int, code: str
    ) -> None:
        response = trader.post(HALTS, body)
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
        assert not Halt.objects.exists()

    def test_another_users_bot_and_halt_are_not_there(self, bot: Bot, world: World) -> None:
        other = TraderClient()
        assert other.post(HALTS, {"scope": "bot", "bot_id": str(bot.id)}).status_code == 404
        halt = halted(HaltScope.BOT, bot.id, user_id=bot.user_id, source=HaltSource.USER)
        assert other.get(HALTS).json()["results"] == []
        assert other.delete(f"{HALTS}/{halt.id}").json()["error"]["code"] == "halt_not_found"
        assert Halt.objects.get().is_in_force

    @pytest.mark.parametrize("source", [HaltSource.STAFF, HaltSource.SYSTEM])
    @pytest.mark.parametrize("scope", [HaltScope.BOT, HaltScope.PLATFORM])
    def test_they_see_what_others_set_and_cannot_lift_it(
        self, trader: TraderClient, bot: Bot, source: HaltSource, scope: HaltScope
    ) -> None:
        user_id = None if scope == HaltScope.PLATFORM else trader.user_id
        halt = halted(scope, bot.id, user_id=user_id, source=source)

        assert [each["id"] for each in trader.get(HALTS).json()["results"]] == [str(halt.id)]
        response = trader.delete(f"{HALTS}/{halt.id}")
        assert (response.status_code, response.json()["error"]["code"]) == (409, "halt_not_yours")
        assert Halt.objects.get().is_in_force

    def test_a_halt_repeated_with_the_same_key_is_one(self, trader: TraderClient, bot: Bot) -> None:
        headers = {"Idempotency-Key": "once"}
        first = trader.post(HALTS, {"scope": "user"}, headers=headers)
        assert trader.post(HALTS, {"scope": "user"}, headers=headers).json() == first.json()
        assert Halt.objects.count() == 1


class TestStarts:
    @pytest.mark.parametrize("scope", HaltScope)
    def test_a_halted_bot_does_not_start_and_the_answer_names_the_halt(
        self, trader: TraderClient, bot: Bot, scope: HaltScope
    ) -> None:
        subject = {"bot": bot.id, "key": bot.credential_id, "user": bot.user_id}.get(scope)
        halt = halted(scope, subject, user_id=None if scope == HaltScope.PLATFORM else bot.user_id)

        response = trader.post(f"/api/v1/bot/{bot.id}/start")

        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (409, "halted")
        assert "Something is to be looked at." in error["message"]
        assert (error["details"]["halt"]["id"], error["details"]["halt"]["scope"]) == (str(halt.id), scope)
        assert not BotCommand.objects.exists()

    def test_a_reducing_bot_starts_for_its_exits(self, trader: TraderClient, bot: Bot) -> None:
        halted(HaltScope.BOT, bot.id, user_id=bot.user_id, level=HaltLevel.REDUCING)
        assert trader.post(f"/api/v1/bot/{bot.id}/start").status_code == 202


class TestStops:
    @pytest.mark.parametrize("manner", ["pause", "stop", "flatten"])
    @pytest.mark.parametrize("in_body", [True, False])
    def test_a_stop_takes_the_manner(self, trader: TraderClient, bot: Bot, manner: str, in_body: bool) -> None:
        trader.post(f"/api/v1/bot/{bot.id}/start")
        path, body = ("stop", {"bot_id": str(bot.id)}) if in_body else (f"{bot.id}/stop", {})
        response = trader.post(f"/api/v1/bot/{path}", {**body, "manner": manner})
        assert (response.status_code, response.json()["kind"]) == (202, manner)

    def test_a_stop_without_a_body_is_a_stop(self, trader: TraderClient, bot: Bot) -> None:
        trader.post(f"/api/v1/bot/{bot.id}/start")
        assert trader.post(f"/api/v1/bot/{bot.id}/stop").json()["kind"] == "stop"

    def test_an_unknown_manner_is_refused_and_sets_nothing(self, trader: TraderClient, bot: Bot) -> None:
        trader.post(f"/api/v1/bot/{bot.id}/start")
        assert trader.post(f"/api/v1/bot/{bot.id}/stop", {"manner": "gently"}).status_code == 400
        assert not BotSwitch.objects.exists()

    @pytest.mark.parametrize("call", ["pause", "stop", "flatten"])
    def test_the_switch_is_set_in_the_requests_own_transaction(self, trader: TraderClient, bot: Bot, call: str) -> None:
        trader.post(f"/api/v1/bot/{bot.id}/start")
        receipt = trader.post(f"/api/v1/bot/{bot.id}/{call}").json()
        assert (
            BotSwitch.objects.get(bot_id=bot.id).stop_requested_at
            == BotCommand.objects.get(id=receipt["id"]).requested_at
        )

    def test_stop_all_sets_the_switch_of_every_bot_also_of_those_that_seem_to_be_stopped(
        self, trader: TraderClient, bot: Bot, world: World
    ) -> None:
        idle, foreign = world.add_bot(trader.user_id), world.add_bot(uuid4())
        trader.post(f"/api/v1/bot/{bot.id}/start")

        response = trader.post("/api/v1/bot/stop-all")

        assert [each["bot_id"] for each in response.json()["results"]] == [str(bot.id)]
        assert switched() == {bot.id, idle.id}
        assert foreign.id not in switched()

    def test_a_refused_stop_sets_nothing(self, trader: TraderClient, bot: Bot) -> None:
        assert trader.post(f"/api/v1/bot/{bot.id}/stop").status_code == 409
        assert switched() == set()

    def test_a_deleted_bot_is_switched_off(self, trader: TraderClient, bot: Bot) -> None:
        assert trader.delete(f"/api/v1/bot/{bot.id}").status_code == 204
        assert BotSwitch.objects.get(bot_id=bot.id).deleted_at is not None


def switched() -> set[UUID]:
    return set(BotSwitch.objects.filter(stop_requested_at__isnull=False).values_list("bot_id", flat=True))


@pytest.mark.urls("staff_site.urls")
class TestStaff:
    def client(self, role: str) -> Client:
        user: User = UserFactory.create(roles=[role])
        client = Client()
        client.force_login(user)
        return client

    @pytest.mark.parametrize("scope", HaltScope)
    def test_an_operator_sets_a_halt_with_a_reason_and_lifts_it(self, bot: Bot, scope: HaltScope) -> None:
        operator = self.client("operator")
        subject = {"bot": bot.id, "user": bot.user_id}.get(scope, "")
        form = {"scope": scope, "subject_id": subject, "level": "halted", "reason": "The market is broken."}
        response = operator.post(reverse("admin:risk_halt_add"), form)
        if scope == HaltScope.KEY:  # no such key is connected
            assert b"There is no such key" in response.content
            return

        halt = Halt.objects.get()
        assert response.status_code == 302
        assert (halt.scope, halt.source, halt.reason) == (scope, HaltSource.STAFF, "The market is broken.")
        assert halt.user_id == (None if scope == HaltScope.PLATFORM else bot.user_id)

        page = reverse("admin:risk_halt_change", args=[halt.id])
        assert b"The market is broken." in operator.get(page).content
        assert operator.post(page, {"lifted_because": ""}).status_code == 200
        assert operator.post(page, {"lifted_because": "It works again."}).status_code == 302
        halt.refresh_from_db()
        assert (halt.is_in_force, halt.lifted_because) == (False, "It works again.")
        told = StoredEvent.objects.filter(aggregate_type="halt").order_by("aggregate_seq")
        assert [each.event_type for each in told] == ["risk.halt.set", "risk.halt.lifted"]
        assert operator.post(page, {"lifted_because": "Again."}).status_code == 403

    @pytest.mark.parametrize("role", ["support", "auditor"])
    def test_other_staff_only_look(self, role: str) -> None:
        halt = halted(HaltScope.PLATFORM, now=timezone.now())
        staff = self.client(role)
        assert staff.get(reverse("admin:risk_halt_changelist")).status_code == 200
        assert staff.post(reverse("admin:risk_halt_add"), {}).status_code == 403
        page = reverse("admin:risk_halt_change", args=[halt.id])
        assert staff.post(page, {"lifted_because": "x"}).status_code == 403
        assert Halt.objects.get().is_in_force

    def test_a_halt_without_a_reason_or_subject_is_refused(self, bot: Bot) -> None:
        operator = self.client("operator")
        for form in (
            {"scope": "bot", "subject_id": str(bot.id), "level": "halted", "reason": ""},
            {"scope": "bot", "subject_id": str(uuid4()), "level": "halted", "reason": "x"},
            {"scope": "user", "subject_id": "", "level": "halted", "reason": "x"},
            {"scope": "platform", "subject_id": str(bot.id), "level": "halted", "reason": "x"},
        ):
            assert operator.post(reverse("admin:risk_halt_add"), form).status_code == 200
        assert not Halt.objects.exists()

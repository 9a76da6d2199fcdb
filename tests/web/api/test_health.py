import pytest

from modelgates_server.core.errors import StoreUnavailable
from modelgates_server.service.part_states import PartState, Status
from tests.web.harness import Api


async def test_process_is_healthy_when_its_database_is_not(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise StoreUnavailable("/secret/path is locked")

    monkeypatch.setattr(api.store, "ping", fail)
    answer = await api.call("GET", "/healthz")
    assert (answer.status_code, answer.text) == (200, '{"status":"ok"}')


async def test_working_server_is_ready(api: Api) -> None:
    answer = await api.call("GET", "/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "parts": {"database": "ok"}}


async def test_unready_server_names_the_failed_part_without_details(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise StoreUnavailable("/secret/path is locked")

    monkeypatch.setattr(api.store, "ping", fail)
    answer = await api.call("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "error": {"message": "Service temporarily unavailable", "code": 503},
        "status": "unavailable",
        "parts": {"database": "unavailable"},
    }
    assert answer.headers["retry-after"] == "1"


async def test_server_is_ready_and_names_the_cause_when_a_part_warns(api: Api) -> None:
    api.services.parts.report("clock", PartState(Status.WARNING, "The clock stepped back."))
    answer = await api.call("GET", "/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "parts": {"clock": "warning", "database": "ok"},
        "causes": {"clock": "The clock stepped back."},
    }


async def test_server_is_not_ready_when_a_part_other_than_the_database_fails(api: Api) -> None:
    api.services.parts.report("disk", PartState(Status.UNAVAILABLE, "The disk is full."))
    answer = await api.call("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json()["causes"] == {"disk": "The disk is full."}
    assert answer.json()["parts"] == {"disk": "unavailable", "database": "ok"}

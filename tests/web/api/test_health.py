import pytest

from modelgates_server.core.errors import StoreUnavailable
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

import pytest

from tests.gateway import METRICS_TOKEN
from tests.server import Customer
from tests.web.harness import Api

NOT_FOUND = '{"error":{"message":"Resource not found","code":404}}'


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer",
        "Bearer ",
        "Bearer 0123456789abcde",
        f"Bearer {METRICS_TOKEN}x",
        f"Bearer  {METRICS_TOKEN}",
        f"Basic {METRICS_TOKEN}",
        "Bearer ключ",
    ],
)
async def test_figures_are_not_there_for_who_has_no_token(
    authorization: str | None, api: Api
) -> None:
    headers = {} if authorization is None else {b"Authorization": authorization.encode()}
    answer = await api.client.get("/metrics", headers=headers)
    assert (answer.status_code, answer.text) == (404, NOT_FOUND)


async def test_figures_count_answers_and_name_no_account_and_no_key(
    api: Api, acme: Customer
) -> None:
    for key in (acme.viewer, acme.viewer, acme.inference, None):
        await api.call("GET", "/api/v1/credits", key)
    await api.call("GET", f"/api/v1/{acme.account_id}")
    answer = await api.call("GET", "/metrics", METRICS_TOKEN)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    name = "modelgates_http_requests_total"
    for operation, status, count in (
        ("get-credits", 200, 2),
        ("get-credits", 403, 1),
        ("get-credits", 401, 1),
        ("none", 404, 1),
    ):
        assert f'{name}{{operation="{operation}",status="{status}"}} {count}.0' in answer.text
    assert acme.account_id not in answer.text
    assert "sk-mg" not in answer.text

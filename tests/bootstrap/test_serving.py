import pytest

from modelgates_server.bootstrap import load_settings
from modelgates_server.bootstrap.serving import _web_options
from modelgates_server.core.errors import InvalidInput
from modelgates_server.web.keep_alive import KeepAliveRules
from modelgates_server.web.services import WebOptions

MIB = 1024 * 1024


def test_options_of_the_http_api_come_from_the_settings() -> None:
    settings = load_settings(
        max_body_mib=5,
        public_url="https://gateway.example/",
        allowed_hosts="Gateway.LAN, 10.0.0.5",
        metrics_token="0123456789abcdef",
        limit_source_prefix="openrouter",
        allow_unknown_key_members=True,
        v1_alias=False,
        keep_alive_s=7,
        plain_keep_alive="on",
    )
    assert _web_options(settings) == WebOptions(
        body_max_bytes=5 * MIB,
        bodies_max_bytes=256 * MIB,
        public_url="https://gateway.example",
        allowed_hosts=("gateway.lan", "10.0.0.5", "127.0.0.1"),
        metrics_token="0123456789abcdef",
        limit_source_prefix="openrouter",
        allow_unknown_key_members=True,
        v1_alias=False,
        keep_alive=KeepAliveRules(every_s=7, plain="on"),
    )


def test_budget_of_all_bodies_is_at_least_one_body() -> None:
    assert _web_options(load_settings(max_body_mib=300)).bodies_max_bytes == 400 * MIB


def test_invalid_public_url_is_rejected() -> None:
    with pytest.raises(InvalidInput, match="MODELGATES_PUBLIC_URL"):
        _web_options(load_settings(public_url="gateway"))

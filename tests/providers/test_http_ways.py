"""The connection to a provider: checked certificates, and HTTP proxies of the environment."""

import asyncio
import os
import ssl
import sys
from pathlib import Path

import pytest

from modelgates_server.core.errors import InvalidInput, ProviderUnavailable
from modelgates_server.core.pricing.catalog import Api
from tests.providers.upstream import (
    KEY,
    Connection,
    Play,
    always,
    answer,
    asking,
    serving,
)

ROOT = Path(__file__).resolve().parents[2]
TLS = ROOT / "tests" / "e2e" / "tls"
CERT = TLS / "cert.pem"
UNREACHABLE = "ProviderUnavailable: The provider `acme` cannot be reached."


def certified() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERT, TLS / "key.pem")
    return context


async def called(url: str, **environment: str) -> str:
    """The output of a call in a fresh process: aiohttp reads certificates when it is imported."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SSL_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.providers.caller", url),
        cwd=ROOT,
        env={**inherited, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode().strip()


def tunnel(port: int) -> Play:
    """A proxy that connects each `CONNECT` to one port of the loopback interface."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def play(connection: Connection) -> None:
        await connection.request()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(
            pipe(connection.reader, writer),
            pipe(reader, connection.writer),
        )

    return play


async def test_untrusted_certificate_is_rejected() -> None:
    async with serving(always(answer()), certified()) as upstream:
        output = await called(f"https://localhost:{upstream.port}")
    assert output.startswith(UNREACHABLE)
    assert "CERTIFICATE_VERIFY_FAILED" in output
    assert upstream.requests == []


async def test_certificate_of_a_configured_authority_is_accepted() -> None:
    async with serving(always(answer()), certified()) as upstream:
        output = await called(f"https://localhost:{upstream.port}", SSL_CERT_FILE=str(CERT))
    assert output == "{}"


async def test_proxy_tunnel_sees_neither_key_nor_request() -> None:
    async with (
        serving(always(answer()), certified()) as upstream,
        serving(tunnel(upstream.port)) as proxy,
    ):
        output = await called(
            f"https://localhost:{upstream.port}",
            SSL_CERT_FILE=str(CERT),
            HTTPS_PROXY=f"http://me:mine@127.0.0.1:{proxy.port}",
        )
    assert output == "{}"
    assert upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"
    (connect,) = proxy.requests
    assert connect.line == f"CONNECT localhost:{upstream.port} HTTP/1.1"
    assert connect.headers["proxy-authorization"] == "Basic bWU6bWluZQ=="
    assert "authorization" not in connect.headers
    assert "proxy-authorization" not in upstream.requests[0].headers


async def test_certificate_of_another_host_is_rejected() -> None:
    async with (
        serving(always(answer()), certified()) as upstream,
        serving(tunnel(upstream.port)) as proxy,
    ):
        output = await called(
            "https://elsewhere.test",
            SSL_CERT_FILE=str(CERT),
            HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
        )
    assert output.startswith(UNREACHABLE)
    assert proxy.requests[0].line == "CONNECT elsewhere.test:443 HTTP/1.1"
    assert upstream.requests == []


@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_proxy_of_the_environment_is_used(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(always(answer())) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"{scheme}me:mine@127.0.0.1:{proxy.port}")
        async with asking(0, base_url="http://elsewhere.test/v1") as acme:
            for _ in range(2):
                reply = await acme.send(Api.CHAT, b"{}")
                assert await reply.read(1000) == b"{}"
    assert proxy.connections == 1
    for request in proxy.requests:
        assert request.line == "POST http://elsewhere.test/v1/chat/completions HTTP/1.1"
        assert request.headers["host"] == "elsewhere.test"
        assert request.headers["proxy-authorization"] == "Basic bWU6bWluZQ=="


@pytest.mark.parametrize("excepted", ["127.0.0.1", "other.test,127.0.0.1:{port}", "*"])
async def test_host_in_no_proxy_is_called_directly(
    excepted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(always(answer())) as proxy, serving(always(answer())) as upstream:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", excepted.format(port=upstream.port))
        async with asking(upstream.port) as acme:
            await (await acme.send(Api.CHAT, b"{}")).read(1000)
    assert (proxy.connections, upstream.connections) == (0, 1)


async def test_proxy_for_the_other_scheme_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(always(answer())) as proxy, serving(always(answer())) as upstream:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        async with asking(upstream.port) as acme:
            await (await acme.send(Api.CHAT, b"{}")).read(1000)
    assert (proxy.connections, upstream.connections) == (0, 1)


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
async def test_provider_is_unavailable_when_the_proxy_rejects_the_call(
    status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(always(answer(b"no", status))) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:mine@127.0.0.1:{proxy.port}")
        async with asking(0, base_url="https://elsewhere.test/v1") as acme:
            with pytest.raises(
                ProviderUnavailable, match="The provider `acme` cannot be reached"
            ) as caught:
                await acme.send(Api.CHAT, b"{}")
    assert str(caught.value.__cause__) == f"ClientHttpProxyError: {status}"


@pytest.mark.parametrize("proxy", ["socks5://h:1", "https://h:1", "http://", "http://h:port"])
async def test_unsupported_proxy_is_rejected_at_startup(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(InvalidInput, match="HTTP_PROXY must be a URL such as http://host:port"):
        async with asking(1):
            pass

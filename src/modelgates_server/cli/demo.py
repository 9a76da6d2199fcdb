"""`modelgates demo`: a running gateway to try, which deletes everything when it ends."""

import json
import os
import shlex
import shutil
import signal
import socket
import sys
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote, urlsplit

import typer

from modelgates_server.cli import wiring
from modelgates_server.cli.output import examples, note, say
from modelgates_server.core.keys import KeyKind, NewKey
from modelgates_server.core.money import parse_pico

app = typer.Typer()

_HOST = "127.0.0.1"
_CREDITS = "10"
_MODEL = "sandbox/echo"
_PROMPT = "Every call is covered by a hold and charged exactly, to the pico-dollar."
_RESPONSE_TIMEOUT_S = 10


class Demo(NamedTuple):
    """The values that the tour shows."""

    database_url: str
    account_id: str
    management_key: str
    inference_key: str


@app.command(epilog=examples("modelgates demo", "modelgates demo --port 9000"))
def demo(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; if taken, a free one is used.")
    ] = 8000,
) -> None:
    """Run the server on a temporary database. It has an account with credits and two keys.

    Ctrl-C stops the demo and deletes everything.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    program = _program()
    try:
        with TemporaryDirectory(prefix="modelgates-demo-") as folder:
            database_url = _move_into(Path(folder))
            shown = wiring.run(lambda gateway: _seed(gateway, database_url), create=True)
            wiring.serve(
                # On a separate thread: the tour calls the server, which runs on this one.
                lambda url: Thread(target=_tour, args=(url, shown, program), daemon=True).start(),
                host=_HOST,
                port=_usable_port(port),
            )
    except KeyboardInterrupt:
        raise typer.Exit from None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _program() -> str:
    """Returns the command that runs this program in another terminal, whatever its folder."""
    called = sys.argv[0]
    if shutil.which("modelgates") == called:
        return "modelgates"
    return shlex.quote(str(Path(called).absolute()))


def _move_into(folder: Path) -> str:
    """Makes this process use a database in the folder and ignore the caller's settings."""
    for name in [name for name in os.environ if name.upper().startswith("MODELGATES_")]:
        del os.environ[name]
    database_url = f"sqlite:///{quote(str(folder))}/modelgates.db"
    os.environ["MODELGATES_DATABASE_URL"] = database_url
    os.environ["MODELGATES_LOG_LEVEL"] = "warning"
    os.chdir(folder)  # the caller's .env file must not apply
    return database_url


def _usable_port(port: int) -> int:
    try:
        with socket.create_server((_HOST, port)):
            return port
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        note(f"Port {port} is unavailable ({reason}). Using a free port instead.")
        return 0


async def _seed(gateway: Any, database_url: str) -> Demo:
    account = await gateway.accounts.open("Demo")
    await gateway.credits.grant(account.id, parse_pico(_CREDITS), "demo")
    _, management_key = await gateway.keys.create(
        account.id, NewKey(kind=KeyKind.MANAGEMENT, name="demo management")
    )
    _, inference_key = await gateway.keys.create(
        account.id, NewKey(kind=KeyKind.INFERENCE, name="demo inference")
    )
    return Demo(database_url, account.id, management_key, inference_key)


def _tour(url: str, shown: Demo, program: str) -> None:
    try:
        text, usage = _call_model(url, shown.inference_key)
        response = _request(url, "GET", "/api/v1/credits", shown.management_key)
    except OSError as error:
        note(f"Error: The demo could not call its own server: {error}")
        return
    say(
        f"""
ModelGates is running at {url} on a temporary database.

The account "Demo" ({shown.account_id}) has two keys and ${_CREDITS} in credits:

  inference key   {shown.inference_key}
  management key  {shown.management_key}

It has made one streamed call to {_MODEL}, a built-in model that needs no provider. The response:

  {text}

The last chunk reported the usage. The cost was already in the ledger when it was sent:

  {usage}

Read the credits:

  curl {url}/api/v1/credits -H "Authorization: Bearer {shown.management_key}"
  {response}

Call the model yourself. Any OpenAI or OpenRouter client works with the base URL {url}/api/v1:

  curl -N {url}/api/v1/chat/completions -H "Authorization: Bearer {shown.inference_key}" \\
    -H "Content-Type: application/json" \\
    -d '{{"model": "{_MODEL}", "stream": true, "messages": [{{"role": "user", "content": "Hi"}}]}}'

Open the guides and the API reference, where you can try every operation:

  {url}/docs

Administer the same ledger from another terminal:

  export MODELGATES_DATABASE_URL={shlex.quote(shown.database_url)}
  {program} credits show {shown.account_id}
  {program} credits grant {shown.account_id} 5 --reason "a gift"
  {program} ledger entries {shown.account_id}
  {program} ledger verify

Ctrl-C stops the demo and deletes its database.
"""
    )


def _call_model(url: str, key: str) -> tuple[str, str]:
    """Makes one streamed call; returns the text of the response, and its usage and cost."""
    messages = [{"role": "user", "content": _PROMPT}]
    body = {"model": _MODEL, "stream": True, "max_tokens": 100, "messages": messages}
    stream = _request(url, "POST", "/api/v1/chat/completions", key, json.dumps(body))
    payloads = [line.removeprefix("data: ") for line in stream.splitlines() if line[:6] == "data: "]
    # Decimal, because a float might print the cost with an exponent.
    chunks = [json.loads(payload, parse_float=Decimal) for payload in payloads[:-1]]
    text = "".join(
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    )
    usage = chunks[-1]["usage"]
    tokens = f"{usage['prompt_tokens']} input tokens, {usage['completion_tokens']} output tokens"
    return text, f"{chunks[-1]['id']}: {tokens}, cost ${usage['cost']:f}"


def _request(url: str, method: str, path: str, key: str, body: str | None = None) -> str:
    # Imported here, because it would take up a third of the start of every other command.
    from http.client import OK, HTTPConnection  # noqa: PLC0415

    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=_RESPONSE_TIMEOUT_S)) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
    if response.status != OK:
        raise OSError(f"{response.status} {text}")
    return text

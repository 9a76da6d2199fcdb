"""`modelgates demo`: a running gateway to look at, with nothing left of it afterwards."""

import os
import shlex
import shutil
import signal
import socket
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

import typer

from modelgates_server.cli import wiring
from modelgates_server.cli.output import examples, note
from modelgates_server.core.keys import KeyKind
from modelgates_server.core.money import parse_pico
from modelgates_server.service.keys import NewKey

app = typer.Typer()

_HOST = "127.0.0.1"
_CREDITS = "10"
_HELD = "0.05"
_SPENT = "0.0123"
_HOLD_TTL_S = 600
_ANSWER_WAIT_S = 10


class Demo(NamedTuple):
    """What the tour shows."""

    database_url: str
    account_id: str
    management_key: str
    inference_key: str


@app.command(epilog=examples("modelgates demo", "modelgates demo --port 9000"))
def demo(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on, if it is free.")
    ] = 8000,
) -> None:
    """Run the server on a throw-away database with an account, credits and keys.

    Ctrl-C ends it and deletes everything.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    program = _program()
    try:
        with TemporaryDirectory(prefix="modelgates-demo-") as folder:
            database_url = _move_into(Path(folder))
            shown = wiring.run(lambda gateway: _seed(gateway, database_url), create=True)
            wiring.serve(
                # On a thread of its own: it asks the server, which must be free to answer.
                lambda url: Thread(target=_tour, args=(url, shown, program), daemon=True).start(),
                host=_HOST,
                port=_usable_port(port),
            )
    except KeyboardInterrupt:
        raise typer.Exit from None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _program() -> str:
    """How a person calls this program in another terminal, in whatever folder."""
    called = sys.argv[0]
    if shutil.which("modelgates") == called:
        return "modelgates"
    return shlex.quote(str(Path(called).absolute()))


def _move_into(folder: Path) -> str:
    """Make the folder's database the one of this process, whatever the caller's settings say."""
    for name in [name for name in os.environ if name.upper().startswith("MODELGATES_")]:
        del os.environ[name]
    database_url = f"sqlite:///{folder}/modelgates.db"
    os.environ["MODELGATES_DATABASE_URL"] = database_url
    os.environ["MODELGATES_LOG_LEVEL"] = "warning"
    os.chdir(folder)  # away from the caller's .env file
    return database_url


def _usable_port(wanted: int) -> int:
    try:
        with socket.create_server((_HOST, wanted)):
            return wanted
    except OSError as error:
        why = os.strerror(error.errno or 0)
        note(f"Port {wanted} cannot be used ({why}); taking a free one.")
        return 0


async def _seed(gateway: Any, database_url: str) -> Demo:
    account = await gateway.accounts.open("Demo")
    await gateway.credits.grant(account.id, parse_pico(_CREDITS), "demo")
    _, management_key = await gateway.keys.create(
        account.id, NewKey(kind=KeyKind.MANAGEMENT, name="demo management")
    )
    key, inference_key = await gateway.keys.create(
        account.id, NewKey(kind=KeyKind.INFERENCE, name="demo inference")
    )
    await gateway.holds.place(account.id, key.hash, "gen-demo", parse_pico(_HELD), _HOLD_TTL_S)
    await gateway.holds.capture(account.id, "gen-demo", parse_pico(_SPENT))
    return Demo(database_url, account.id, management_key, inference_key)


def _tour(url: str, shown: Demo, program: str) -> None:
    try:
        answer = _read_credits(url, shown.management_key)
    except OSError as error:
        note(f"Error: the demo could not read its credits: {error}")
        return
    typer.echo(
        f"""
ModelGates runs at {url} on a throw-away database.

The account "Demo" ({shown.account_id}) was granted ${_CREDITS}. It has paid for a simulated
call of ${_SPENT} through a hold and its capture; real model calls come with the metered gateway.

  management key  {shown.management_key}
  inference key   {shown.inference_key}

What any HTTP client reads:

  curl {url}/api/v1/credits -H "Authorization: Bearer {shown.management_key}"
  {answer}

In another terminal, on the same books:

  export MODELGATES_DATABASE_URL={shlex.quote(shown.database_url)}
  {program} credits show {shown.account_id}
  {program} credits grant {shown.account_id} 5 --reason "a gift"
  {program} ledger entries {shown.account_id}
  {program} ledger verify

Ctrl-C ends the demo and deletes its database.
"""
    )


def _read_credits(url: str, key: str) -> str:
    # A third of the time that all other commands would take to start.
    from http.client import OK, HTTPConnection  # noqa: PLC0415

    with closing(HTTPConnection(urlsplit(url).netloc, timeout=_ANSWER_WAIT_S)) as connection:
        connection.request("GET", "/api/v1/credits", headers={"Authorization": f"Bearer {key}"})
        response = connection.getresponse()
        body = response.read().decode()
    if response.status != OK:
        raise OSError(f"{response.status} {body}")
    return body

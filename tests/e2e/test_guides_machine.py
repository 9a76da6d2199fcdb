"""The guides' commands for root, typed on a machine that is simulated in one folder."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deadlines import http_request
from tests.e2e import guides
from tests.e2e.guides import Block, Reader, blocks, reading

OPERATING, DEPLOYING = "docs/guides/operating.md", "docs/guides/deploying.md"
FOLDERS = ("etc/modelgates", "var/lib/modelgates", "var/backups/modelgates", "opt/modelgates")

# Programs of the simulated machine: `systemctl` starts and stops the real server.
COMMANDS = {
    "sudo": '[ "$1" = -u ] && shift 2\nexec "$@"',
    "systemctl": """cd "$DESK/etc/modelgates"
if [ "$1" = stop ]; then
  kill "$(cat "$DESK/pid")"
  until [ -e "$DESK/ended" ]; do :; done
else
  rm -f "$DESK/ended"
  {
    modelgates serve 2>> "$DESK/log" > "$DESK/out" &
    echo $! > "$DESK/pid"
    wait
    > "$DESK/ended"
  } &
  until curl -s -o "$DESK/ready" "http://127.0.0.1:$MODELGATES_PORT/readyz"; do :; done
fi""",
    "journalctl": 'cat "$DESK/log"',
    "git": ":",
    "make": ":",
}


class Machine:
    """A shell in which a folder takes the place of `/`; `url` is the address of the server."""

    def __init__(self, reader: Reader, desk: Path, url: str) -> None:
        self._reader = reader
        self._desk = desk
        self.url = url

    def type(self, text: str) -> str:
        for folder in FOLDERS:
            text = text.replace(f"/{folder}", str(self.path(folder)))
        text = text.replace(f"{self.path('opt/modelgates')}/.venv/bin/", "")
        text = text.replace("-o modelgates -g modelgates ", "")
        return self._reader.type(Block("on the machine", 1, "sh", f"cd {self._desk}\n{text}"))

    def type_block(self, page: str, containing: str) -> str:
        """Type the one block of a page for root that contains a text."""
        [text] = [b.text for b in blocks(page) if b.language == "console" and containing in b.text]
        return self.type(text)

    def path(self, below: str) -> Path:
        return self._desk / below

    def total_credits(self, account: str) -> str:
        shown = json.loads(self.type(f"gateway credits show {account} --json"))
        return str(shown["total_credits"])

    def is_ready(self) -> bool:
        return http_request("GET", f"{self.url}/readyz").status_code == 200


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine set up as in the guide, with the server running."""
    if not (shutil.which("curl") and shutil.which("jq")) and not os.environ.get("CI"):
        pytest.skip("this machine lacks curl or jq; CI demands both")
    commands, desk = tmp_path / "commands", tmp_path / "desk"
    commands.mkdir()
    for name, text in COMMANDS.items():
        (commands / name).write_text(f"#!/bin/sh -e\n{text}\n", "utf-8")
        (commands / name).chmod(0o755)
    port = guides.free_port()
    url = f"http://127.0.0.1:{port}"
    with reading(tmp_path, url, MODELGATES_PORT=str(port), DESK=str(desk)) as reader:
        made = Machine(reader, desk, url)
        for folder in FOLDERS:
            made.path(folder).mkdir(parents=True)
        database_url = f"sqlite:///{made.path('var/lib/modelgates/modelgates.db')}"
        settings = made.path("etc/modelgates/.env")
        settings.write_text(f"MODELGATES_DATABASE_URL={database_url}\n", "utf-8")
        made.type(f'PATH="{commands}:$PATH"\nsystemctl start modelgates')
        yield made
        made.type("systemctl stop modelgates")


def test_restored_backup_has_the_credits_of_its_day(machine: Machine) -> None:
    account = re.findall(r"user_\w{22}", machine.type_block(DEPLOYING, "sudo -u modelgates"))[0]
    machine.type(f"gateway credits grant {account} 5 --ref before")
    machine.type("gateway db backup /var/backups/modelgates/2026-11-25.db")
    machine.type(f"gateway credits grant {account} 7 --ref after")
    spool = machine.path("var/lib/modelgates/modelgates.db-spool")
    (spool / "kept").touch()
    assert machine.total_credits(account) == "12"

    assert "verified      yes" in machine.type_block(OPERATING, "gateway db restore")

    assert machine.is_ready()
    assert machine.total_credits(account) == "5"
    assert (spool / "kept").exists()
    assert len(list(spool.parent.glob("modelgates.db.before-restore-*"))) == 1
    machine.type(f"gateway credits grant {account} 5 --ref before")
    assert machine.total_credits(account) == "5"


def test_upgrade_keeps_the_ledger_and_the_log_lists_calls(machine: Machine) -> None:
    account = re.findall(r"user_\w{22}", machine.type_block(DEPLOYING, "sudo -u modelgates"))[0]
    machine.type(f"gateway credits grant {account} 5")
    made = json.loads(
        machine.type(f"gateway key create --account {account} --kind inference --json")
    )
    body = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "What is a ledger?"}]}
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert http_request(
        "POST", f"{machine.url}/api/v1/chat/completions", json=body, headers=headers
    ).is_success
    assert machine.type_block(OPERATING, '"generation"') == f"{account}\tsandbox/echo\t0.000016\n"

    assert "Ledger verified" in machine.type_block(OPERATING, "db migrate")

    assert machine.is_ready()
    assert machine.total_credits(account) == "5"
    assert machine.path("var/backups/modelgates/before-upgrade.db").exists()

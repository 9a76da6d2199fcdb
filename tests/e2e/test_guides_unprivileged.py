"""The installation without root in the guide to deploying, run in a home folder of its own."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.deadlines import DEADLINE_S
from tests.e2e.guides import ROOT, blocks

PAGE = "docs/guides/deploying.md"
UNIT = ROOT / "deploy" / "modelgates-user.service"
PROGRAM = Path(sys.executable).with_name("modelgates")
FILES = (".env", "modelgates.toml", "keys")
# `git clone` and `make setup` are replaced by a link to the program under test.
STUBS = {
    "git": '[ "$1" = clone ] && mkdir -p "$3/.venv/bin" && ln -s "$PROGRAM" "$3/.venv/bin" || :',
    "make": ":",
    "loginctl": ":",
    "systemctl": 'echo "$@" >> "$HOME/systemctl"',
    "journalctl": ":",
}


def test_commands_without_root_put_every_file_where_the_user_unit_expects_it(
    tmp_path: Path,
) -> None:
    home, checkout, stubs = (tmp_path / name for name in ("home", "checkout", "stubs"))
    for folder in (home, checkout, stubs):
        folder.mkdir()
    for name, text in STUBS.items():
        (stubs / name).write_text(f"#!/bin/sh -e\n{text}\n", "utf-8")
        (stubs / name).chmod(0o755)
    for name in FILES:
        (checkout / name).touch()
    shutil.copytree(UNIT.parent, checkout / "deploy")
    commands = [
        block.text
        for block in blocks(PAGE)
        if block.language == "console" and "~/.local/share/modelgates" in block.text
    ]
    ran = subprocess.run(
        ["sh", "-e", "-c", "\n".join(commands)],
        cwd=checkout,
        env={"HOME": str(home), "PATH": f"{stubs}:/usr/bin:/bin", "PROGRAM": str(PROGRAM)},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"user_\w{22}", ran.stdout), "an account was created"

    unit = (home / ".config/systemd/user/modelgates.service").read_text("utf-8")
    assert unit == UNIT.read_text("utf-8")
    [program] = re.findall(r"^ExecStart=%h/(\S+) serve$", unit, re.MULTILINE)
    assert (home / program).resolve() == PROGRAM.resolve()
    [folder] = re.findall(r"^WorkingDirectory=%h/(\S+)$", unit, re.MULTILINE)
    assert (home / folder / "modelgates.db").exists(), "the database is next to its settings"
    assert [(home / folder / name).stat().st_mode & 0o777 for name in FILES] == [0o600] * 3
    assert "--user enable --now modelgates" in (home / "systemctl").read_text("utf-8")

"""Runs commands as a user that may not write to the folder of the database."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cli.console import Ended
from tests.deadlines import DEADLINE_S

NOBODY = 65534
_ROOT = os.geteuid() == 0
# Root may write everywhere, so the commands run as another user. That user may not read the files
# of this Python: a first round, as root, loads all modules.
_TWO_ROUNDS = f"""
import contextlib, io, json, os, sys
from modelgates_server.cli.program import main

def call(words):
    sys.argv = ["modelgates", *words]
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    for stream in (out, err):
        stream.seek(0)
    return code, out.read(), err.read()

results = []
for number, (folder, commands) in enumerate(json.load(sys.stdin)):
    os.chdir(folder)
    results = [call([word.format(round=number) for word in words]) for words in commands]
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid({NOBODY})
        os.setuid({NOBODY})
print(json.dumps(results))
"""


def forbid_writing(folder: Path) -> None:
    """Makes a folder and its files readable to the unprivileged user, and writable to nobody."""
    for path in (*folder.iterdir(), folder):
        path.chmod(0o500 if path == folder else 0o400)
        if _ROOT:
            os.chown(path, NOBODY, NOBODY)


def run_unprivileged(
    environment: dict[str, str], rehearsal: Path, folder: Path, *commands: list[str]
) -> list[Ended]:
    """Runs commands in a folder, after they ran in another one, `rehearsal`.

    In the words of a command, `{round}` is 0 in the rehearsal and then 1.
    """
    ran = subprocess.run(
        [sys.executable, "-c", _TWO_ROUNDS],
        input=json.dumps([(str(each), commands) for each in (rehearsal, folder)]),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert ran.returncode == 0, ran.stderr
    return [Ended(*ended) for ended in json.loads(ran.stdout)]

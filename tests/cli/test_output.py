import os
import pty

from tests.cli.console import Console
from tests.deadlines import DEADLINE_S


def test_progress_is_shown_on_terminals_only(console: Console) -> None:
    console.account("5")
    for words, text in (("ledger verify", "entries checked"), ("db backup copy.db", " pages")):
        terminal, screen = pty.openpty()
        with console.start(*words.split(), stderr=screen) as process:
            process.communicate(timeout=DEADLINE_S)
        os.close(screen)
        shown = os.read(terminal, 65_536).decode()
        os.close(terminal)
        assert text in shown
        assert shown.endswith("\r\x1b[K"), "the line is cleared"
    assert console.run("ledger", "verify").err == ""


def test_table_cuts_no_value_and_has_no_trailing_spaces(console: Console) -> None:
    name = "x" * 200
    account = console.call("account", "create", name, "--json").json["id"]
    console.environment["COLUMNS"] = "40"
    for words in (["list"], ["show", account]):
        lines = console.call("account", *words).out.splitlines()
        assert any(account in line for line in lines)
        assert any(name in line for line in lines)
        assert not any(line.endswith(" ") for line in lines)

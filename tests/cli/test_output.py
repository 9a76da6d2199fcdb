import os
import pty

import pytest

from modelgates_server.cli.output import fail, note, say, show, show_all
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


HOSTILE = "\x1b]0;title\x07\x1b[2J\r\x9b1m\u202e\u200bü\ud800"
ESCAPED = r"\x1b]0;title\x07\x1b[2J\r\x9b1m\u202e\u200bü\ud800"


def test_characters_that_terminals_act_on_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    show({"user": HOSTILE, "title": "two\nlines"}, as_json=False)
    show_all([{"referer": HOSTILE}], ["referer"], as_json=False)
    say(f"first\n{HOSTILE}")
    note(f"first\n{HOSTILE}")
    with pytest.raises(SystemExit):
        fail(f"one\n{HOSTILE} sk-mg-v1-0123456789")
    out, err = capsys.readouterr()
    assert out == (f"user   {ESCAPED}\ntitle  two\\nlines\nreferer\n{ESCAPED}\nfirst\n{ESCAPED}\n")
    assert err == f"first\n{ESCAPED}\nError: one\\n{ESCAPED} sk-…\n"


def test_arguments_are_escaped_in_errors(console: Console) -> None:
    console.call("db", "migrate")
    assert "\x1b" not in console.call("generation", "show", "\x1b[31m").refusal
    assert "\x1b" not in console.call("prices", "show", "\x1b[31m").refusal
    assert "\x1b" not in console.call("config", "check", "\x1b[31m").err


def test_values_of_the_journal_and_the_configuration_are_escaped(console: Console) -> None:
    console.account("5")
    (console.folder / "modelgates.toml").write_text('[models."a\\u001b[31m/b"]\nprovider = "x"\n')
    ended = console.call("config", "check")
    assert ended.code == 1
    assert "\x1b" not in ended.out + ended.err
    assert r"\x1b[31m" in ended.out

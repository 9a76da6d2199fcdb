import asyncio
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from modelgates_server.core.ledger.records import HoldState
from modelgates_server.core.pricing.usage import Usage
from modelgates_server.service.services import LedgerServices
from modelgates_server.service.spool_ports import PendingSettlement
from modelgates_server.store.emergency import emergency_folder
from modelgates_server.store.end_lines import to_line
from modelgates_server.store.spool import FolderSpool
from modelgates_server.store.sqlite import connection, opening
from tests.cli.console import Console
from tests.deadlines import DEADLINE_S
from tests.support import PICO_PRICE, T0_MS, expire, finished, open_generation, place

COST_PICO = 3 + 2 * 5
HOLD_PICO = 1000
NOTHING = "No end of a call waits.\n"
END = b'{"event": "generation", "level": "info"}\n'


class Waiting:
    """An account with calls whose ends wait outside the ledger."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.account_id = console.account("10")
        self.key_hash = console.key(self.account_id)["hash"]
        elsewhere = console.folder / "elsewhere"
        self.spool = FolderSpool(console.folder / "modelgates.db-spool")
        self.emergency = emergency_folder(elsewhere)
        console.environment["MODELGATES_EMERGENCY_DIR"] = str(elsewhere)

    def end(self, hold_id: str) -> PendingSettlement:
        """Places the hold of a call; returns its end, which the ledger does not have."""
        opened = open_generation(self.account_id, self.key_hash, hold_id, HOLD_PICO)

        async def call(services: LedgerServices) -> None:
            await services.store.add_prices([PICO_PRICE])
            command = place(self.account_id, self.key_hash, hold_id, HOLD_PICO)
            await services.store.execute(command, opened)

        self.console.do(call)
        return PendingSettlement(finished(opened, Usage(input=3, output=5), T0_MS + 1))

    def wait(self, hold_id: str, folder: FolderSpool) -> PendingSettlement:
        """Puts the end of a new call into a folder."""
        end = self.end(hold_id)
        asyncio.run(folder.put(end))
        return end

    def expire(self, hold_id: str) -> None:
        """Ends the hold, as maintenance does for the hold of a lost call."""

        async def end(services: LedgerServices) -> None:
            generation = await services.store.generation(self.account_id, hold_id)
            assert generation is not None
            ended = finished(generation, Usage(), T0_MS + 10**9, HoldState.EXPIRED)
            command = expire(self.account_id, self.key_hash, hold_id, T0_MS + 10**9)
            await services.store.execute(command, ended)

        self.console.do(end)

    def charged(self) -> tuple[int, int]:
        """The usage and the amount held, in picos."""
        assert self.console.call("ledger", "verify").code == 0
        shown = self.console.call("account", "show", self.account_id, "--json").json
        usage, held = (Decimal(shown[name]) * 10**12 for name in ("total_usage", "held"))
        return int(usage), int(held)

    def outcomes(self, *words: str) -> list[tuple[str, str, str]]:
        """The source, id and outcome of each end that a replay lists."""
        ends = self.console.call("spool", "replay", *words, "--json").json
        return [(end["source"], end["id"], end["outcome"]) for end in ends]


@pytest.fixture
def waiting(console: Console) -> Waiting:
    return Waiting(console)


def log_of(folder: Path, *lines: bytes) -> str:
    path = folder / "server.log"
    path.write_bytes(b"".join(lines))
    return path.name


def test_nothing_waits_at_first(waiting: Waiting) -> None:
    for command in ("show", "replay"):
        assert waiting.console.call("spool", command).out == NOTHING
        assert waiting.console.call("spool", command, "--json").json == []


def test_ends_in_both_folders_are_shown(waiting: Waiting) -> None:
    waiting.wait("gen-1", waiting.spool)
    waiting.wait("gen-2", waiting.emergency)
    shown = waiting.console.call("spool", "show", "--json").json
    assert [(end["source"], end["id"]) for end in shown] == [
        ("spool", "gen-1"),
        ("emergency", "gen-2"),
    ]
    for end in shown:
        assert end["account_id"] == waiting.account_id
        assert (end["state"], Decimal(end["cost"])) == ("captured", Decimal(COST_PICO) / 10**12)
        assert end["age_s"] > 0
        assert end["problem"] is None
    text = waiting.console.call("spool", "show").out
    assert text.startswith("source")
    assert "gen-2" in text
    assert waiting.charged() == (0, 2 * HOLD_PICO)


def test_ends_in_both_folders_are_replayed_once_and_deleted(waiting: Waiting) -> None:
    waiting.wait("gen-1", waiting.spool)
    waiting.wait("gen-2", waiting.emergency)
    assert waiting.outcomes() == [("spool", "gen-1", "saved"), ("emergency", "gen-2", "saved")]
    assert waiting.charged() == (2 * COST_PICO, 0)
    assert waiting.outcomes() == []
    assert waiting.console.call("spool", "show").out == NOTHING


def test_end_in_both_folders_is_charged_once(waiting: Waiting) -> None:
    end = waiting.wait("gen-1", waiting.spool)
    asyncio.run(waiting.emergency.put(end))
    assert waiting.outcomes() == [("spool", "gen-1", "saved")]
    assert waiting.charged() == (COST_PICO, 0)


def test_records_are_replayed_from_a_log_and_charged_once(waiting: Waiting) -> None:
    log = log_of(waiting.console.folder, END, to_line(waiting.end("gen-1")), END)
    assert waiting.outcomes(log) == [("line 2", "gen-1", "saved")]
    assert waiting.outcomes(log) == [("line 2", "gen-1", "saved before")]
    assert waiting.charged() == (COST_PICO, 0)


def test_records_are_replayed_from_standard_input(waiting: Waiting) -> None:
    line = to_line(waiting.end("gen-1")).decode()
    with waiting.console.start("spool", "replay", "-") as process:
        out, _ = process.communicate(line, timeout=DEADLINE_S)
    assert process.returncode == 0
    assert "saved" in out
    assert waiting.charged() == (COST_PICO, 0)


def test_damaged_record_is_named_and_the_others_are_replayed(waiting: Waiting) -> None:
    first, second, third = (to_line(waiting.end(f"gen-{number}")) for number in range(3))
    log = log_of(waiting.console.folder, first, second[:-40] + b"\n", third)
    ended = waiting.console.call("spool", "replay", log)
    assert ended.code == 1
    assert ended.err == "Error: 1 end not replayed. The column `problem` says why.\n"
    assert "line 2" in ended.out
    assert "The record is damaged or cut off: its checksum does not match." in ended.out
    assert waiting.charged() == (2 * COST_PICO, HOLD_PICO)


def test_damaged_file_is_shown_kept_and_does_not_delay_the_others(waiting: Waiting) -> None:
    waiting.wait("gen-2", waiting.spool)
    damaged = waiting.console.folder / "modelgates.db-spool" / "gen-1.json"
    damaged.write_bytes(b"{")
    [shown, _] = waiting.console.call("spool", "show", "--json").json
    assert (shown["id"], shown["cost"]) == ("gen-1", None)
    assert "is damaged" in shown["problem"]
    ended = waiting.console.call("spool", "replay")
    assert ended.code == 1
    assert "damaged" in ended.out
    assert waiting.charged() == (COST_PICO, 0)
    assert damaged.exists()


def test_end_whose_hold_has_ended_meanwhile_is_reported(waiting: Waiting) -> None:
    waiting.wait("gen-1", waiting.emergency)
    waiting.expire("gen-1")
    assert waiting.outcomes() == [("emergency", "gen-1", "hold had ended")]
    assert waiting.charged()[1] == 0


def test_end_of_another_ledger_is_kept_and_reported(waiting: Waiting, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Waiting(Console(tmp_path / "other"))
    asyncio.run(waiting.spool.put(other.end("gen-9")))
    ended = waiting.console.call("spool", "replay")
    assert ended.code == 1
    assert "not saved" in ended.out
    assert f"Account `{other.account_id}` does not exist." in ended.out
    assert asyncio.run(waiting.spool.ids()) == ["gen-9"]


def test_ends_are_kept_when_the_database_is_locked(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_WAIT_MS", 50)
    for number in range(2):
        waiting.wait(f"gen-{number}", waiting.spool)
    # Opening the database needs no lock; writing does.
    with closing(sqlite3.connect(waiting.console.path, isolation_level=None)) as other:
        monkeypatch.setattr(opening, "prepare_file", lambda *_: other.execute("begin immediate"))
        ended = waiting.console.call("spool", "replay")
    assert ended.code == 1
    assert ended.out.count("is locked by another program") == 2
    assert ended.err.startswith("Error: 2 ends not replayed.")
    assert asyncio.run(waiting.spool.ids()) == ["gen-0", "gen-1"]


@pytest.mark.parametrize("content", [b"", END])
def test_log_without_a_record_is_an_error(waiting: Waiting, content: bytes) -> None:
    log = log_of(waiting.console.folder, content)
    assert waiting.console.call("spool", "replay", log).refusal == (
        f"There is no record in `{log}`. Give a log that has lines with `mg-end-`."
    )


def test_missing_log_is_an_error(waiting: Waiting) -> None:
    assert waiting.console.call("spool", "replay", "gone.log").refusal == (
        "gone.log: No such file or directory."
    )


def test_end_of_an_earlier_call_with_the_same_id_is_not_charged_to_the_later_one(
    waiting: Waiting,
) -> None:
    """A backup may lack a call with an `Idempotency-Key`; its repeat gets the same id."""
    end = waiting.end("gen-1")
    later = msgspec.structs.replace(end.generation, created_at_ms=T0_MS - 1)
    end = msgspec.structs.replace(end, generation=later)
    log = log_of(waiting.console.folder, to_line(end))
    asyncio.run(waiting.emergency.put(end))
    for words in ((), (log,)):
        ended = waiting.console.call("spool", "replay", *words)
        assert ended.code == 1
        assert "belongs to another call" in ended.out
        assert waiting.charged() == (0, HOLD_PICO)
    assert asyncio.run(waiting.emergency.ids()) == ["gen-1"]

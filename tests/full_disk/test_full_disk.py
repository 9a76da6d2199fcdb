"""A full disk below database and spool: nothing acknowledged is lost, and the server says so."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from tests.deadlines import DEADLINE_S
from tests.full_disk.site import COST, Site, clients, small_site, stop

CALLS = 35
MIB = 1024 * 1024
UNSAVED = 75


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with small_site(tmp_path) as opened:
        yield opened


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The emergency folder, which has a disk with room."""
    return tmp_path / "elsewhere"


def test_ends_of_calls_on_a_full_disk_are_spooled_in_the_room_of_the_ballast(
    site: Site,
) -> None:
    with site.server() as server:
        with clients(site, server) as users:
            responses = users.calls_across(site.disk.fill, CALLS)
            assert {response.status_code for response in responses} == {200}
            assert site.disk.get("failed") > 0
        assert stop(server) == 0
    assert sum(users.costs.values()) == CALLS * COST
    assert len(site.waiting()) * COST >= CALLS * COST - site.usage(holds_open=True) > 0
    site.disk.free()
    with site.server() as server:
        with clients(site, server) as users:
            users.until_drained()
        assert stop(server) == 0
    assert site.usage() == CALLS * COST
    assert site.waiting() == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_unsaved_ends_are_replayed_from_the_log_after_a_clean_stop(
    site: Site, workers: str
) -> None:
    with site.server(MODELGATES_WORKERS=workers) as server:
        with clients(site, server) as users:
            users.calls_across(lambda: site.disk.set(passes=0), CALLS)
            assert sum(users.costs.values()) == CALLS * COST
        assert stop(server) == UNSAVED
    assert site.usage(holds_open=True) == 0
    assert site.waiting() == []
    site.disk.free()
    for outcome in ("saved", "saved before"):
        ended = site.console.run("spool", "replay", str(site.log_path), "--json")
        assert [end["outcome"] for end in ended.json] == [outcome] * CALLS
        assert site.usage() == CALLS * COST
    with site.server() as server:
        with clients(site, server):
            shown = site.console.run("account", "show", site.customer.account_id, "--json").json
        assert stop(server) == 0
    assert Decimal(shown["total_usage"]) == CALLS * COST


def test_unsaved_ends_are_replayed_from_the_emergency_folder(site: Site, elsewhere: Path) -> None:
    with site.server(MODELGATES_EMERGENCY_DIR=str(elsewhere)) as server:
        with clients(site, server) as users:
            users.calls_across(lambda: site.disk.set(passes=0), CALLS)
            users.until(lambda status, body: (status, body["parts"]["spool"]) == (503, "warning"))
        assert stop(server) == UNSAVED
    site.disk.free()
    site.console.environment["MODELGATES_EMERGENCY_DIR"] = str(elsewhere)
    shown = site.console.run("spool", "show", "--json").json
    assert {(end["source"], Decimal(end["cost"])) for end in shown} == {("emergency", COST)}
    ended = site.console.run("spool", "replay", "--json")
    assert [end["outcome"] for end in ended.json] == ["saved"] * CALLS
    assert site.usage() == CALLS * COST
    assert list(elsewhere.iterdir()) == []


def test_ends_in_the_emergency_folder_survive_a_kill(site: Site, elsewhere: Path) -> None:
    with site.server(MODELGATES_EMERGENCY_DIR=str(elsewhere)) as server:
        with clients(site, server) as users:
            users.calls_across(lambda: site.disk.set(passes=0), CALLS)
        server.process.kill()
        assert server.process.wait(DEADLINE_S) == -signal.SIGKILL
    assert sum(users.costs.values()) == CALLS * COST
    site.disk.free()
    with site.server(MODELGATES_EMERGENCY_DIR=str(elsewhere)) as server:
        with clients(site, server) as users:
            users.until_drained()
        assert stop(server) == 0
    assert site.usage() == CALLS * COST
    assert list(elsewhere.iterdir()) == []


def fill(pipe: int) -> None:
    """Fills a pipe that no one reads."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, bytes(4096))
    os.set_blocking(pipe, True)


def test_server_stops_when_no_one_reads_its_log(site: Site, elsewhere: Path) -> None:
    """Errors alone are logged, so that only the records wait for the reader."""
    reader, writer = os.pipe()
    settings = {"MODELGATES_EMERGENCY_DIR": str(elsewhere), "MODELGATES_LOG_LEVEL": "error"}
    with site.server(writer, **settings) as server:
        with clients(site, server) as users:
            users.calls_across(lambda: site.disk.set(passes=0), 3)
        fill(writer)
        assert stop(server) == UNSAVED
    os.close(reader)
    os.close(writer)
    assert len(list(elsewhere.iterdir())) == 3


def test_unusable_emergency_folder_is_named_at_the_start_and_the_log_has_the_records(
    site: Site, elsewhere: Path
) -> None:
    elsewhere.touch()
    with site.server(MODELGATES_EMERGENCY_DIR=str(elsewhere / "folder")) as server:
        with clients(site, server) as users:
            assert "emergency folder cannot be used" in site.log_path.read_text()
            users.calls_across(lambda: site.disk.set(passes=0), 3)
        assert stop(server) == UNSAVED
    site.disk.free()
    ended = site.console.run("spool", "replay", str(site.log_path), "--json")
    assert [end["outcome"] for end in ended.json] == ["saved"] * 3
    assert site.usage() == 3 * COST


def test_new_calls_are_rejected_and_running_calls_charged_when_the_disk_is_nearly_full(
    site: Site,
) -> None:
    size = 1024 * MIB
    with site.server() as server:
        with clients(site, server) as users:
            nearly = size // 100 - MIB
            responses = users.calls_across(lambda: site.disk.set(size=size, room=nearly), CALLS)
            assert {response.status_code for response in responses} == {200}
            users.until(lambda status, _: status == 503)
            _, body = users.ready()
            assert body["causes"]["disk"] == (
                "A disk is full or nearly full: no new calls are accepted."
            )
            rejected = users.call()
            assert rejected.status_code == 503
            assert rejected.headers["retry-after"] == "30"
            assert "The disk of this server is full or nearly full" in rejected.text
            assert (users.create_key()).status_code == 201
            site.disk.free()
            users.until_ready()
            assert (users.call()).status_code == 200
        assert stop(server) == 0
    assert site.usage() == (CALLS + 1) * COST


def test_change_is_rejected_as_temporary_when_the_disk_is_full(site: Site) -> None:
    with site.server() as server:
        with clients(site, server) as users:
            site.disk.set(passes=0)
            rejected = users.create_key()
            assert rejected.status_code == 503
            assert "retry-after" in rejected.headers
            site.disk.free()
            users.until_ready()
            assert (users.create_key()).status_code == 201
        assert stop(server) == 0

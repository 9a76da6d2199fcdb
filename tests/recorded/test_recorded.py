"""The gateway's responses and stored data, compared byte by byte with the recorded ones.

A change that should not change a response must not change a golden file. For one that should, run
`make record` and review the diff of the golden files with it.
"""

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recorded import scenarios_calls, scenarios_reads, scenarios_refused
from tests.recorded.exchange import Exchange
from tests.recorded.releases import RECORDS
from tests.recorded.script import SCENARIOS, playing
from tests.recorded.stored import database_text, spool_some, write_some

HTTP = Path(__file__).parent / "http"
STORED = Path(__file__).parent / "stored"
SCENARIO_FILES = (scenarios_calls, scenarios_reads, scenarios_refused)
CALLS_MIN = 60
STATUSES = {"200", "201", "204", "400", "401", "402", "403", "404", "405", "409", "413", "415"} | {
    *("422", "429", "431", "502", "503", "504")
}
UNRECORDED = {"get /openapi.json", "get /openapi.yaml"}
"""They return a file of the source, which has its own tests."""


def check(path: Path, text: str) -> None:
    """Compares a text with its golden file, or writes the file if `make record` runs."""
    if RECORDS:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")
        return
    golden = path.read_text("utf-8") if path.exists() else ""
    if text != golden:
        diff = "\n".join(difference(path.name, golden, text))
        pytest.fail(
            f"{diff}\n\nThis differs from the recording. If that is intended, run `make record`, "
            "review the diff and commit it.",
            pytrace=False,
        )


def difference(name: str, golden: str, text: str) -> Iterator[str]:
    old, new = golden.splitlines(), text.splitlines()
    yield from difflib.unified_diff(old, new, f"recorded {name}", f"now {name}", lineterm="")


def as_text(exchanges: list[Exchange]) -> str:
    return "\n".join(exchange.as_text() for exchange in exchanges)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_responses_are_as_recorded(name: str, tmp_path: Path) -> None:
    async with playing(tmp_path) as script:
        await SCENARIOS[name](script)
    check(HTTP / f"{name}.http", as_text(script.exchanges))


async def test_stored_rows_are_as_recorded(tmp_path: Path) -> None:
    async with playing(tmp_path) as script:
        await write_some(script)
        text = database_text(script.gateway.database_path)
    check(STORED / "database.txt", text)


async def test_spooled_files_are_as_recorded(tmp_path: Path) -> None:
    async with playing(tmp_path) as script:
        text = await spool_some(script)
    check(STORED / "spool.txt", text)


def test_every_golden_file_has_a_scenario() -> None:
    stale = [path for path in HTTP.iterdir() if path.stem not in SCENARIOS]
    if RECORDS:
        for path in stale:
            path.unlink()
        return
    assert stale == [], "no scenario writes these files: run `make record`"


def test_recorded_calls_are_many_and_have_every_status() -> None:
    texts = [path.read_text("utf-8") for path in HTTP.iterdir()]
    statuses = [status for text in texts for status in re.findall(r"(?m)^<<< (\d+)$", text)]
    assert len(statuses) >= CALLS_MIN
    assert set(statuses) >= STATUSES


async def test_recorded_calls_have_every_documented_operation(tmp_path: Path) -> None:
    lines = "\n".join(path.read_text("utf-8") for path in HTTP.iterdir())
    requests = [
        (method, target.partition("?")[0].rstrip("/"))
        for method, target in re.findall(r"(?m)^(GET|POST|PATCH|PUT|DELETE) (/\S*)$", lines)
    ]
    async with playing(tmp_path) as script:
        document = json.loads((await script.send("", "GET", "//openapi.json")).body)
    for path, operations in document["paths"].items():
        base = "" if "servers" in operations else "/api/v1"
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(base + path)))
        for method in operations.keys() & {"get", "post", "patch", "put", "delete"}:
            is_recorded = any(
                m == method.upper() and pattern.fullmatch(target) for m, target in requests
            )
            assert is_recorded or f"{method} {path}" in UNRECORDED, (
                f"{method} {path} is not recorded"
            )

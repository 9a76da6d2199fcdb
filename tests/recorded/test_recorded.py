"""What the gateway says and stores, byte by byte, held against what was recorded.

A change that means to change no answer changes no golden file. One that means to is recorded anew
with `make record`, and the diff of the goldens is part of its review.
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
from tests.recorded.stored import database_text, keep_some, write_some

HTTP = Path(__file__).parent / "http"
STORED = Path(__file__).parent / "stored"
SCENARIO_FILES = (scenarios_calls, scenarios_reads, scenarios_refused)
CALLS_MIN = 60
STATUSES = {"200", "201", "204", "400", "401", "402", "403", "404", "405", "409", "413", "415"} | {
    *("422", "429", "431", "502", "503", "504")
}
UNRECORDED = {"get /openapi.json", "get /openapi.yaml"}
"""They are a file of the source, with tests of its own."""


def check(path: Path, text: str) -> None:
    """Hold a text against its golden file, or write that."""
    if RECORDS:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")
        return
    golden = path.read_text("utf-8") if path.exists() else ""
    if text != golden:
        diff = "\n".join(difference(path.name, golden, text))
        pytest.fail(
            f"{diff}\n\nThis is not what was recorded. If it is meant, run `make record`, look at "
            "the diff and commit it.",
            pytrace=False,
        )


def difference(name: str, golden: str, text: str) -> Iterator[str]:
    old, new = golden.splitlines(), text.splitlines()
    yield from difflib.unified_diff(old, new, f"recorded {name}", f"now {name}", lineterm="")


def written(exchanges: list[Exchange]) -> str:
    return "\n".join(exchange.written() for exchange in exchanges)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_answers_are_as_recorded(name: str, tmp_path: Path) -> None:
    async with playing(tmp_path) as script:
        await SCENARIOS[name](script)
    check(HTTP / f"{name}.http", written(script.exchanges))


async def test_stored_rows_are_as_recorded(tmp_path: Path) -> None:
    async with playing(tmp_path) as script:
        await write_some(script)
        text = database_text(script.gateway.database_path)
    check(STORED / "database.txt", text)


async def test_spooled_files_are_as_recorded(tmp_path: Path) -> None:
    async with playing(tmp_path) as script:
        text = await keep_some(script)
    check(STORED / "spool.txt", text)


def test_every_golden_file_has_a_scenario() -> None:
    stale = [path for path in HTTP.iterdir() if path.stem not in SCENARIOS]
    if RECORDS:
        for path in stale:
            path.unlink()
        return
    assert stale == [], "no scenario writes these any more: run `make record`"


def test_recorded_calls_have_every_status_and_are_many() -> None:
    texts = [path.read_text("utf-8") for path in HTTP.iterdir()]
    statuses = [found for text in texts for found in re.findall(r"(?m)^<<< (\d+)$", text)]
    assert len(statuses) >= CALLS_MIN
    assert set(statuses) >= STATUSES


async def test_recorded_calls_have_every_documented_operation(tmp_path: Path) -> None:
    lines = "\n".join(path.read_text("utf-8") for path in HTTP.iterdir())
    asked = [
        (method, target.partition("?")[0].rstrip("/"))
        for method, target in re.findall(r"(?m)^(GET|POST|PATCH|PUT|DELETE) (/\S*)$", lines)
    ]
    async with playing(tmp_path) as script:
        document = json.loads((await script.ask("", "GET", "//openapi.json")).body)
    for path, operations in document["paths"].items():
        base = "" if "servers" in operations else "/api/v1"
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(base + path)))
        for method in operations.keys() & {"get", "post", "patch", "put", "delete"}:
            found = any(m == method.upper() and pattern.fullmatch(target) for m, target in asked)
            assert found or f"{method} {path}" in UNRECORDED, f"{method} {path} is not recorded"

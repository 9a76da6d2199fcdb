"""What the guides and the README say is true: their commands run, and print what they show."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from modelgates_server.bootstrap import load_settings, open_gateway
from modelgates_server.settings import Settings
from tests.cli.console import Console
from tests.e2e import guides
from tests.e2e.guides import (
    DOCS,
    NODE_MODULES,
    README,
    ROOT,
    Block,
    Reader,
    blocks,
    reading,
    steps,
)
from tests.server import Customer, RunningServer, open_customer, running_server
from tests.support import DOLLAR, capture, place

PAGES = [
    README,
    *sorted(
        path.relative_to(ROOT).as_posix()
        for path in DOCS.rglob("*.md")
        if "decisions" not in path.parts
    ),
]
TYPED = [page for page in PAGES if steps(page)]
# They start a server themselves. Others speak to one that has the customer of `page_server`.
STARTING = {README, "docs/guides/overview/quickstart.md"}
METRICS_TOKEN = "correct-horse-battery"

CHECKED = {
    "toml": "`modelgates config check` reads it",
    "json": "it is parsed",
    "yaml": "it is parsed",
    "ini": "it is a file of deploy/, or settings, whose names are checked",
    "nginx": "it is a file of deploy/",
    "caddyfile": "it is a file of deploy/",
    "dockerfile": "it is a file of deploy/",
}
"""Languages of blocks that are neither typed nor shown after one that is."""

ON_THE_MACHINE = "test_guides_machine.py runs it on a machine that is made up"
NOT_RUN = {
    ("docs/concepts/architecture.md", "   HTTP ──►"): "a picture",
    ("docs/reference/cli.md", "$ modelgates"): "tests/cli/test_program_reference.py runs it",
    ("docs/reference/cli.md", "generation     gen-"): "tests/cli/test_generation.py has its like",
    ("docs/guides/overview/quickstart.md", "kill %1"): "it needs a key of OpenAI",
    ("docs/guides/mcp.md", "claude mcp add"): "it needs Claude Code",
    ("docs/guides/mcp.md", "code --add-mcp"): "it needs VS Code",
    ("docs/guides/deploying.md", "sudo useradd"): "it sets up a machine, as root",
    ("docs/guides/deploying.md", "docker build"): "it needs Docker",
    ("docs/guides/deploying.md", "gateway() {"): ON_THE_MACHINE,
    ("docs/guides/operating.md", "17 3 * * *"): "a line of a crontab",
    ("docs/guides/operating.md", "sudo systemctl"): ON_THE_MACHINE,
    ("docs/guides/operating.md", "journalctl"): ON_THE_MACHINE,
    ("docs/configuration.md", "$ export OPENAI"): "tests/cli/test_config.py compares it",
}
"""Blocks that are neither run nor checked here, by page and beginning, with the reason."""


@pytest.fixture(scope="module")
def page_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, MODELGATES_METRICS_TOKEN=METRICS_TOKEN) as running:
        yield running


async def customer_of_the_pages(server: RunningServer) -> Customer:
    """With the credits and the usage that pages show."""
    credits_pico, used_pico = 10050 * DOLLAR // 100, 2575 * DOLLAR // 100
    customer = await open_customer(server.database_path, credits_pico)
    settings = load_settings(database_url=f"sqlite:///{server.database_path}")
    async with open_gateway(settings) as gateway:
        keys = await gateway.keys.page(customer.account_id, limit=3)
        [key] = [key for key in keys if key.kind == "inference"]
        now_ms = time.time_ns() // 1_000_000
        await gateway.store.execute(place(customer.account_id, key.hash, "1", used_pico, now_ms))
        await gateway.store.execute(capture(customer.account_id, key.hash, "1", used_pico, now_ms))
    return customer


def demand(page: str) -> None:
    """Skip where the commands of a page cannot be typed; CI has what they need."""
    text = "".join(step.block.text for step in steps(page))
    for program in ("curl", "jq"):
        if f"{program} " in text and not shutil.which(program) and not os.environ.get("CI"):
            pytest.skip(f"there is no {program} on this machine; CI demands this")


def follow(page: str, reader: Reader) -> None:
    """Type what a page says, and compare what is printed with what it shows."""
    left_out = False
    for block, shown in steps(page):
        if block.language == "js" and not NODE_MODULES.is_dir() and not os.environ.get("CI"):
            left_out = True
            continue
        printed = reader.type(block)
        if shown is not None:
            guides.compare(reader.addressed(shown.text), printed, shown)
    if left_out:
        pytest.skip("there is no Node 20 or newer on this machine; CI demands these")


@pytest.mark.parametrize("page", [page for page in TYPED if page in STARTING])
def test_a_page_that_starts_a_server_does_what_it_says(page: str, tmp_path: Path) -> None:
    demand(page)
    port = guides.free_port()
    with reading(tmp_path, f"http://127.0.0.1:{port}", MODELGATES_PORT=str(port)) as reader:
        follow(page, reader)


@pytest.mark.parametrize("page", [page for page in TYPED if page not in STARTING])
async def test_the_commands_of_a_page_do_what_it_says(
    page: str, page_server: RunningServer, tmp_path: Path
) -> None:
    demand(page)
    customer = await customer_of_the_pages(page_server)
    environment = {
        "MODELGATES_DATABASE_URL": f"sqlite:///{page_server.database_path}",
        "ACCOUNT": customer.account_id,
        "INFERENCE_KEY": customer.inference,
        "MANAGEMENT_KEY": customer.management,
        "VIEWER_KEY": customer.viewer,
    }
    with reading(tmp_path, page_server.url, **environment) as reader:
        follow(page, reader)


def reason(block: Block) -> tuple[str, str] | None:
    """The entry of NOT_RUN that speaks of a block."""
    for place_of in NOT_RUN:
        page, beginning = place_of
        if block.page == page and block.text.startswith(beginning):
            return place_of
    return None


def test_no_block_of_a_guide_is_left_untested(subtests: pytest.Subtests) -> None:
    used = set()
    for page in PAGES:
        tested = {block.line for step in steps(page) for block in step if block is not None}
        for block in blocks(page):
            listed = block.text.strip() in guides.NOT_TYPED
            if block.line in tested or block.language in CHECKED or listed:
                continue
            with subtests.test(block.place):
                why = reason(block)
                assert why is not None, f"nothing runs\n{block.text}"
                used.add(why)
    assert used == set(NOT_RUN), "each reason is needed"


def test_what_is_not_run_is_not_called_a_command(subtests: pytest.Subtests) -> None:
    for page in PAGES:
        for block in blocks(page):
            with subtests.test(block.place):
                known = {*guides.TYPED, *guides.PRINTED, *CHECKED, "console", ""}
                assert block.language in known, f"no test knows {block.language}"


def standing_alone(*languages: str) -> list[Block]:
    """Blocks that show no output."""
    shown = {step.shown for page in PAGES for step in steps(page)}
    found = [block for page in PAGES for block in blocks(page)]
    return [block for block in found if block.language in languages and block not in shown]


def test_json_and_yaml_of_the_guides_can_be_read(subtests: pytest.Subtests) -> None:
    found = standing_alone("json", "yaml")
    assert found
    for block in found:
        with subtests.test(block.place):
            assert isinstance(yaml.safe_load(block.text), dict | list)


def test_configuration_files_of_the_guides_pass_the_check(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    found = standing_alone("toml")
    assert found
    console = Console(tmp_path)
    for block in found:
        with subtests.test(block.place):
            (tmp_path / "modelgates.toml").write_text(block.text, "utf-8")
            checked = console.call("config", "check", "modelgates.toml", "--json").json
            assert checked["problems"] == []


def test_a_file_that_a_guide_shows_is_the_one_in_the_repository(
    subtests: pytest.Subtests,
) -> None:
    files = {path.read_text("utf-8") for path in (ROOT / "deploy").iterdir()}
    shown = [
        block
        for block in standing_alone("ini", "nginx", "caddyfile", "dockerfile")
        if not block.text.startswith("MODELGATES_")
    ]
    for block in shown:
        with subtests.test(block.place):
            assert block.text in files
    assert {block.text for block in shown} == files, "all of deploy/ is shown"


def test_settings_that_a_guide_shows_exist_and_are_right(subtests: pytest.Subtests) -> None:
    found = [b for b in standing_alone("ini") if b.text.startswith("MODELGATES_")]
    assert found
    for block in found:
        with subtests.test(block.place):
            given = dict(line.split("=", 1) for line in block.text.splitlines())
            names = {name.removeprefix("MODELGATES_").lower(): name for name in given}
            assert set(names) <= set(Settings.model_fields)
            Settings.model_validate({field: given[name] for field, name in names.items()})

"""The commands of the guides and the README run, and print what the pages show."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from modelgates_server.bootstrap import load_settings, open_gateway
from modelgates_server.settings import Settings
from tests.cli.console import Console
from tests.e2e import guides
from tests.e2e.guides import (
    DOCS,
    README,
    ROOT,
    Block,
    Reader,
    Step,
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
QUICK_START = "docs/guides/overview/quickstart.md"
# These start a server. The others call the one of `page_server`, each with its own customer.
STARTING = {README, QUICK_START}
IN_ONE_GO = 5
"""How many steps of the quick start its first block repeats."""
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

ON_THE_MACHINE = "test_guides_machine.py runs it on a simulated machine"
SCENARIOS_RUN = "tests/e2e/test_clients_scenarios.py runs this client"
NOT_INSTALLED = "its package is not among those of the tests"
AGENTS = "docs/guides/agents"
NOT_RUN = {
    (f"{AGENTS}/claude-code.md", "export ANTHROPIC_BASE_URL"): "it needs Claude Code",
    (f"{AGENTS}/codex.md", 'model = "openai/gpt-5.5"'): "`make test-codex` runs Codex with it",
    (f"{AGENTS}/codex.md", "export MODELGATES_KEY"): "`make test-codex` runs Codex",
    (f"{AGENTS}/agents-sdk.md", "import os"): SCENARIOS_RUN,
    (f"{AGENTS}/agents-sdk.md", "import { Agent, run"): NOT_INSTALLED,
    (f"{AGENTS}/langchain.md", "import os"): NOT_INSTALLED,
    ("docs/concepts/architecture.md", "   HTTP ──►"): "a diagram",
    ("docs/guides/credits/credits-usage-and-holds.md", "                 ┌─►"): "a diagram",
    ("docs/reference/cli.md", "$ modelgates"): "tests/cli/test_program_reference.py runs it",
    (
        "docs/reference/cli.md",
        "generation     gen-",
    ): "tests/cli/test_generation.py has one like it",
    (QUICK_START, "kill %1"): "it needs a key of OpenAI",
    ("docs/guides/mcp.md", "claude mcp add"): "it needs Claude Code",
    ("docs/guides/mcp.md", "code --add-mcp"): "it needs VS Code",
    ("docs/guides/deploying.md", "sudo useradd"): "it sets up a machine, as root",
    ("docs/guides/deploying.md", "docker build"): "it needs Docker",
    ("docs/guides/deploying.md", "sudo cp deploy/modelgates.socket"): "it sets up a machine",
    ("docs/guides/deploying.md", "server unix:"): "lines for nginx and Caddy",
    ("docs/guides/operating.md", "sudo systemctl kill"): "it needs systemd",
    ("docs/guides/deploying.md", "gateway() {"): ON_THE_MACHINE,
    ("docs/guides/deploying.md", "mkdir -p"): "test_guides_unprivileged.py runs it",
    ("docs/guides/operating.md", "17 3 * * *"): "a line of a crontab",
    ("docs/guides/operating.md", "sudo systemctl"): ON_THE_MACHINE,
    ("docs/guides/operating.md", "journalctl"): ON_THE_MACHINE,
    ("docs/guides/operating.md", "gateway key repair"): "it needs a clock that was wrong",
    ("docs/guides/operating.md", "$ gateway healthcheck"): "tests/cli/test_healthcheck.py runs it",
    (
        "docs/guides/operating.md",
        "modelgates generation show gen-… --archives",
    ): "tests/cli/test_archive.py has one like it",
    (
        "docs/guides/overview/auth/management-api-keys.md",
        "$ modelgates key rotate",
    ): "tests/cli/test_key.py has one like it",
    ("docs/configuration.md", "$ export OPENAI"): "tests/cli/test_config.py compares it",
}
"""Blocks that are neither run nor checked here, by page and beginning, with the reason."""


@pytest.fixture(scope="module")
def page_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, MODELGATES_METRICS_TOKEN=METRICS_TOKEN) as running:
        yield running


async def customer_of_the_pages(server: RunningServer) -> Customer:
    """A customer with the credits and the usage that pages show."""
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
    """Skip a page whose commands this machine lacks; CI has all of them."""
    text = "".join(step.block.text for step in steps(page))
    for program in ("curl", "jq"):
        if f"{program} " in text and not shutil.which(program) and not os.environ.get("CI"):
            pytest.skip(f"this machine has no {program}; CI demands it")


def follow(typed: Sequence[Step], reader: Reader) -> None:
    """Type the steps of a page, and compare their output with what the page shows.

    Without Node, or without the packages of its clients, leaves out the programs that need
    them, and the steps that use these programs.
    """
    left_out: list[str] = []
    for block, shown in typed:
        if is_out_of_reach(block) or any(name in block.text for name in left_out):
            left_out.append(Path(block.file or block.place).name)
            continue
        printed = reader.type(block)
        if shown is not None:
            guides.compare(reader.addressed(shown.text), printed, shown)
    if left_out:
        pytest.skip("this machine has no Node 20 or newer, or not its packages; CI demands both")


def is_out_of_reach(block: Block) -> bool:
    """Whether a program needs Node or packages that this machine lacks."""
    if block.language != "js":
        return False
    return guides.lacks_node() or (block.needs_packages and guides.lacks_packages())


@pytest.mark.parametrize("page", [page for page in TYPED if page in STARTING])
def test_page_that_starts_a_server_prints_what_it_shows(page: str, tmp_path: Path) -> None:
    demand(page)
    port = guides.free_port()
    typed = steps(page)[1:] if page == QUICK_START else steps(page)
    with reading(tmp_path, f"http://127.0.0.1:{port}", MODELGATES_PORT=str(port)) as reader:
        follow(typed, reader)


def test_quick_start_pasted_in_one_go_prints_the_balance(tmp_path: Path) -> None:
    demand(QUICK_START)
    if not shutil.which("bash"):
        pytest.skip("this machine has no bash")
    block, shown = steps(QUICK_START)[0]
    assert shown is not None
    printed = guides.paste(block.text, tmp_path, guides.free_port())
    guides.compare(shown.text, printed.splitlines()[-1], shown)


def test_quick_start_in_one_go_is_the_commands_of_its_steps() -> None:
    whole, *parts = [step.block.text for step in steps(QUICK_START)]
    assert whole == "".join(parts[:IN_ONE_GO])


@pytest.mark.parametrize("page", [page for page in TYPED if page not in STARTING])
async def test_page_prints_what_it_shows(
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
        follow(steps(page), reader)


def reason(block: Block) -> tuple[str, str] | None:
    """The entry of NOT_RUN for a block."""
    for entry in NOT_RUN:
        page, beginning = entry
        if block.page == page and block.text.startswith(beginning):
            return entry
    return None


def test_every_block_of_a_guide_is_tested_or_has_a_reason(subtests: pytest.Subtests) -> None:
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


def test_block_language_is_known_to_a_test(subtests: pytest.Subtests) -> None:
    for page in PAGES:
        for block in blocks(page):
            with subtests.test(block.place):
                known = {*guides.TYPED, *guides.PRINTED, *CHECKED, "console", ""}
                assert block.language in known, f"no test knows {block.language}"


def unprinted(*languages: str) -> list[Block]:
    """Blocks of these languages that are not the output of a step."""
    printed = {step.shown for page in PAGES for step in steps(page)}
    every = [block for page in PAGES for block in blocks(page)]
    return [block for block in every if block.language in languages and block not in printed]


def test_json_and_yaml_of_guides_can_be_parsed(subtests: pytest.Subtests) -> None:
    files = unprinted("json", "yaml")
    assert files
    for block in files:
        with subtests.test(block.place):
            assert isinstance(yaml.safe_load(block.text), dict | list)


def test_configuration_of_guides_passes_the_check(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    files = unprinted("toml")
    assert files
    console = Console(tmp_path)
    for block in files:
        with subtests.test(block.place):
            (tmp_path / "modelgates.toml").write_text(block.text, "utf-8")
            checked = console.call("config", "check", "modelgates.toml", "--json").json
            assert checked["problems"] == []


MONITORING = (".yml", ".json")


def test_file_shown_in_a_guide_is_that_of_the_repository(subtests: pytest.Subtests) -> None:
    files = {
        path.read_text("utf-8")
        for path in (ROOT / "deploy").iterdir()
        if path.suffix not in MONITORING  # too long; tests/telemetry/test_gauges.py reads them
    }
    shown = [
        block
        for block in unprinted("ini", "nginx", "caddyfile", "dockerfile")
        if not block.text.startswith("MODELGATES_")
    ]
    for block in shown:
        with subtests.test(block.place):
            assert block.text in files
    assert {block.text for block in shown} == files, "all of deploy/ is shown"


def test_settings_shown_in_a_guide_exist_and_are_valid(subtests: pytest.Subtests) -> None:
    shown = [b for b in unprinted("ini") if b.text.startswith("MODELGATES_")]
    assert shown
    for block in shown:
        with subtests.test(block.place):
            given = dict(line.split("=", 1) for line in block.text.splitlines())
            names = {name.removeprefix("MODELGATES_").lower(): name for name in given}
            assert set(names) <= set(Settings.model_fields)
            Settings.model_validate({field: given[name] for field, name in names.items()})

"""Helpers that write and read configuration files in tests."""

from collections.abc import Mapping
from pathlib import Path

from modelgates_server.bootstrap.configuration import Configuration, read_configuration

OPENAI = """
[providers.openai]
base_url = "https://api.openai.com/v1"
price_list = "openai"
"""
LOCAL = """
[providers.local]
base_url = "http://127.0.0.1:11434/v1"
"""
MODEL = """
[models."acme/m1"]
provider = "local"
context_length = 1000
max_output_tokens = 100
"""
FREE = 'prices = [{ input = "0", output = "0" }]\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "modelgates.toml"
    path.write_text(text, encoding="utf-8")
    return path


def read(
    folder: Path, text: str, environment: Mapping[str, str] | None = None
) -> tuple[Configuration, list[str]]:
    return read_configuration(write(folder, text), environment or {})


def configured(folder: Path, text: str) -> Configuration:
    """Reads a file that must have no problems."""
    configuration, problems = read(folder, text)
    assert not problems
    return configuration


def problem(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> str:
    """Returns the only problem of a file."""
    _, problems = read(folder, text, environment)
    assert len(problems) == 1, problems
    return problems[0]

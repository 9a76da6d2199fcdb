"""Writes the tables of the translations in docs/reference/dialects.md: `make reference`."""

from collections.abc import Iterable
from pathlib import Path

from modelgates_server.dialects.anthropic import rules as messages
from modelgates_server.dialects.anthropic.betas import BETAS
from modelgates_server.dialects.openai_responses import rules as responses

PAGE = Path(__file__).parents[1] / "docs/reference/dialects.md"

_TABLES = "<!-- The tables are generated: make reference -->\n"


def _table(title: str, rows: Iterable[tuple[str, str, str, str]]) -> str:
    """A section with one row for each rule."""
    lines = [f"\n### {title}\n", "| part | becomes | rule | note |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _messages(rules: Iterable[messages.Rule]) -> Iterable[tuple[str, str, str, str]]:
    for rule in rules:
        yield _row(rule.member, rule.counterpart, rule.action.value, rule.note)


def _responses(rules: Iterable[responses.Rule]) -> Iterable[tuple[str, str, str, str]]:
    for rule in rules:
        yield _row(rule.member, rule.counterpart, rule.action.value, rule.note)


def _row(member: str, counterpart: str | None, action: str, note: str) -> tuple[str, str, str, str]:
    shown = f"`{counterpart}`" if counterpart else ""
    return f"`{member}`", shown, action, _sentence(note).replace("|", "\\|")


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:]


def page() -> str:
    """The whole page."""
    head = PAGE.read_text("utf-8").partition(_TABLES)[0]
    sections = [
        head,
        _TABLES,
        "\n## From Messages to chat completions\n",
        _table("Parameters of `/messages`", _messages(messages.TO_CHAT)),
        _table("Content blocks", _messages(messages.BLOCKS_TO_CHAT)),
        _table("Fields of tools", _messages(messages.TOOLS_TO_CHAT)),
        _table("Fields of `output_config`", _messages(messages.CONFIG_TO_CHAT)),
        "\n## From chat completions to Messages\n",
        _table("Parameters of `/chat/completions`", _messages(messages.FROM_CHAT)),
        _table("Content parts", _messages(messages.PARTS_FROM_CHAT)),
        "\n## From Responses to chat completions\n",
        _table("Parameters of `/responses`", _responses(responses.PARAMETERS_TO_CHAT.values())),
        _table("Input items", _responses(responses.ITEMS_TO_CHAT.values())),
        _table("Input parts", _responses(responses.PARTS_TO_CHAT.values())),
        _table("Types of tools", _responses(responses.TOOLS.values())),
        "\n## From chat completions to Responses\n",
        _table("Parameters", _responses(responses.PARAMETERS_FROM_CHAT.values())),
        _betas(),
    ]
    return "".join(sections)


def _betas() -> str:
    lines = [
        "\n## Betas of Anthropic\n",
        "The header `anthropic-beta` may name these features. Any other is rejected, unless the",
        "operator lists it in `MODELGATES_ALLOWED_BETAS`: a beta can bill tokens that no response",
        "reports.\n",
        "| beta | rule | reason |",
        "|---|---|---|",
    ]
    lines += [f"| `{beta.name}` | {beta.effect.value} | {_sentence(beta.note)} |" for beta in BETAS]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

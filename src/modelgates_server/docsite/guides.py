"""The guides: docs/**/*.md of the repository, which the wheel contains in the folder `guides`.

The first line of a guide is its title, and its first sentence describes it. docs/navigation.yaml
has their order and sections.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from modelgates_server.docsite.markdown import plain, render
from modelgates_server.docsite.model import ORIGIN, Page

FRONT = "index"
"""The file name of the front page, which has an empty path."""

_PACKAGED = Path(__file__).with_name("guides")
_IN_THE_REPOSITORY = Path(__file__).parents[3] / "docs"
_FENCE = re.compile(r" *(`{3,}|~{3,})")
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]`]|`[^`]*`)*)\]\((?!https?:|mailto:|#)([^)\s]+)\)")
_SENTENCE = re.compile(r"(.+?[.!?])(?=\s|$)", re.DOTALL)
_LABEL = re.compile(r"^\*\*[^*]+\.\*\* ")
_STATUS, _CODE = "Status:", "```"


def load() -> tuple[Page, ...]:
    """All guides, in the order of the navigation."""
    folder = _PACKAGED if _PACKAGED.exists() else _IN_THE_REPOSITORY
    return tuple(_read(folder))


def _read(folder: Path) -> Iterator[Page]:
    navigation = yaml.safe_load((folder / "navigation.yaml").read_text(encoding="utf-8"))
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.md")}
    for section in navigation:
        for name in section["pages"]:
            text = (folder / f"{name}.md").read_text(encoding="utf-8")
            yield _page(name, text, section["title"], files)


def _page(name: str, text: str, section: str, files: set[str]) -> Page:
    heading, _, body = relinked(text, name, files).partition("\n")
    rendered = render(body)
    return Page(
        path="" if name == FRONT else name,
        title=plain(heading.removeprefix("# ")),
        description=_description(body),
        section=section,
        markdown=f"{heading}\n\n{body.strip()}\n",
        html=rendered.html,
        headings=rendered.headings,
    )


def _description(body: str) -> str:
    """The first sentence of the first paragraph, after the status in a decision."""
    paragraphs = (" ".join(part.split()) for part in body.split("\n\n"))
    first = next(part for part in paragraphs if part and not part.startswith((_STATUS, _CODE)))
    words = plain(_LABEL.sub("", first))
    sentence = _SENTENCE.match(words)
    return sentence[1] if sentence else words


def relinked(text: str, name: str, files: set[str]) -> str:
    """Replace links between files by links between pages, and links to other files by their text.

    `name` and `files` are paths in the folder, without a suffix.
    """
    fence = ""
    lines = []
    for line in text.split("\n"):
        ticks = _FENCE.match(line)
        if ticks and (not fence or ticks[1].startswith(fence)):
            fence = "" if fence else ticks[1]
        lines.append(line if fence else _relinked_line(line, name, files))
    return "\n".join(lines)


def _relinked_line(line: str, name: str, files: set[str]) -> str:
    def target(link: re.Match[str]) -> str:
        words, (file, hash_, anchor) = link[1], link[2].partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), file))
        page = path.removesuffix(".md")
        if page == path or page not in files:
            return words
        url = f"{ORIGIN}/docs" if page == FRONT else f"{ORIGIN}/docs/{page}"
        return f"[{words}]({url}{hash_}{anchor})"

    return _LINK.sub(target, line)

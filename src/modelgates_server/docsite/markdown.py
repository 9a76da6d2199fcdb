"""Markdown as HTML: CommonMark with tables, without HTML in it, and code in Pygments' classes."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from typing import Any

import msgspec
import pygments
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from pygments.formatters.html import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from modelgates_server.docsite.model import Heading

_LEVELS = {"h2": 2, "h3": 3, "h4": 4}
# GitHub keeps letters, digits, marks, `_` and `-`, and makes each space a hyphen.
_NOT_IN_A_SLUG = re.compile(r"[^\w\- ]")
_OUTPUT = frozenset({"console", "text"})
_COLUMNS = re.compile(r"\S {2,}\S")
"""Found in output with columns, which scrolls where other code wraps."""

_WHITESPACE_SPAN = re.compile(r'<span class="w">(\s*)</span>')


class Rendered(msgspec.Struct, frozen=True):
    """HTML and its headings of level 2 to 4."""

    html: str
    headings: tuple[Heading, ...]


def render(text: str) -> Rendered:
    """Markdown as HTML. Anchors are the same as GitHub's, and unique within the text.

    Each cell of a table has the name of its column, which a phone shows in front of it.
    """
    parser = _parser()
    tokens = parser.parse(text)
    headings = tuple(_anchored(tokens))
    _label_cells(tokens)
    return Rendered(parser.renderer.render(tokens, parser.options, {}), headings)


def plain(text: str) -> str:
    """A line of Markdown as plain text."""
    [inline] = _parser().parseInline(text)
    return _words(inline)


def highlight(code: str, language: str) -> str:
    """Code as HTML, as plain text if Pygments does not know the language.

    A block may scroll, so the keyboard can focus it.
    """
    lexer = _lexer(language)
    if lexer is None:
        return f'<pre class="highlight plain" tabindex="0"><code>{escape(code)}</code></pre>\n'
    spans = pygments.highlight(code, lexer, HtmlFormatter(nowrap=True))
    inner = _WHITESPACE_SPAN.sub(r"\1", spans)
    is_aligned = language in _OUTPUT and _COLUMNS.search(code)
    opened = '<code class="aligned">' if is_aligned else "<code>"
    return f'<pre class="highlight" tabindex="0">{opened}{inner}</code></pre>\n'


@cache
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return None


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("code_block", _fence)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", _table_close)
    return parser


def _fence(_: RendererHTML, tokens: Sequence[Token], index: int, __: OptionsDict, ___: Any) -> str:
    token = tokens[index]
    return highlight(token.content, token.info.partition(" ")[0])


def _table_open(*_: Any) -> str:
    return '<div class="table" tabindex="0"><table>\n'


def _table_close(*_: Any) -> str:
    return "</table></div>\n"


def _anchored(tokens: list[Token]) -> Iterable[Heading]:
    """Give each heading its id, and make it a link to itself unless it contains a link."""
    taken = dict[str, int]()
    for index, token in enumerate(tokens):
        if token.type != "heading_open" or token.tag not in _LEVELS:
            continue
        inline = tokens[index + 1]
        words = _words(inline)
        anchor = _anchor(words, taken)
        token.attrSet("id", anchor)
        if not any(child.type == "link_open" for child in inline.children or ()):
            opened = Token("link_open", "a", 1, attrs={"href": f"#{anchor}"})
            inline.children = [opened, *(inline.children or ()), Token("link_close", "a", -1)]
        yield Heading(level=_LEVELS[token.tag], text=words, anchor=anchor)


def _label_cells(tokens: list[Token]) -> None:
    names, column = list[str](), 0
    for index, token in enumerate(tokens):
        if token.type == "thead_open":
            names = []
        elif token.type == "th_open":
            names.append(_words(tokens[index + 1]))
        elif token.type == "tr_open":
            column = 0
        elif token.type == "td_open":
            token.attrSet("data-label", names[column])
            column += 1


def _words(inline: Token) -> str:
    breaks = {"softbreak", "hardbreak"}
    return "".join(
        " " if child.type in breaks else child.content for child in inline.children or ()
    )


def _anchor(words: str, taken: dict[str, int]) -> str:
    slug = _NOT_IN_A_SLUG.sub("", words.lower()).replace(" ", "-")
    count = taken.get(slug, 0)
    taken[slug] = count + 1
    return f"{slug}-{count}" if count else slug

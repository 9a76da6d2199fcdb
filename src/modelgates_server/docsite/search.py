"""The search over the documentation: a full-text index of SQLite, in memory.

One row is what stands under one heading. Words are matched by their stems ("remaining" finds
"remain"), and the last word of a query also as the beginning of one. Names such as `total_credits`
are looked for as they stand.
"""

import re
import sqlite3
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import nlargest
from threading import Lock

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

from modelgates_server.docsite.model import ORIGIN, Excerpt, Heading, Page

MARKS = "\x02", "\x03"
"""Stand before and after each word that was found."""

_EXCERPT_CHARS = 300
_EXCERPTS_A_PAGE = 2
_WORDS_MAX = 8
"""Looked for of a query: with twice as many, making the excerpts takes thrice as long."""

_COMPLETIONS_MAX = 16
_RANKED_MAX = 200
_WORD = re.compile(r"[^\W_]+")
_TERM = re.compile(r"[^\W_]+(?:_+[^\W_]+)*")
_MARKED = re.compile("\x02[^\x03]*\x03")
_FILLERS = frozenset(
    _WORD.findall(
        "a an and are be can do does for how i in is it my of on or our the this to we what when "
        "where which with you your"
    )
)
"""Left out where a query has other words: assistants ask in sentences."""

_HEADING_LEVELS = ("h2", "h3", "h4")

_CREATE = """
create virtual table sections using fts5 (
  title,   -- of the page, in the row of its beginning alone
  heading, -- of the section, in all other rows
  page,    -- the title again, in all other rows
  text,
  code,
  tokenize = 'porter unicode61'
)
"""
_INSERT = "insert into sections values (?, ?, ?, ?, ?)"
_RANK = """
select rowid from sections where sections match ?
order by bm25(sections, 10.0, 5.0, 1.0, 1.0, 0.2), rowid limit ?
"""
_CALLED = """
select rowid, highlight(sections, 0, char(2), char(3)), highlight(sections, 1, char(2), char(3))
from sections where sections match ? order by bm25(sections, 10.0, 5.0), rowid limit ?
"""
_SHOW = """
select snippet(sections, ?, char(2), char(3), '…', 36)
from sections where sections match ? and rowid = ?
"""
_TEXT, _CODE = 3, 4


class _IndexedSection(msgspec.Struct):
    """What stands under one heading; `heading` and `anchor` are empty for a page's beginning."""

    page: Page
    heading: str
    anchor: str
    text: list[str]
    code: list[str]


class Index:
    """Finds sections of pages. Made once; may be asked from any thread."""

    def __init__(self, pages: Iterable[Page]) -> None:
        self._sections = [section for page in pages for section in _sections_of(page)]
        self._lock = Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(_CREATE)
        rows = [_row(section) for section in self._sections]
        self._database.executemany(_INSERT, rows)
        self._counts = Counter(
            word for row in rows for column in row for word in _WORD.findall(column.lower())
        )
        self._words = sorted(self._counts)

    def find(self, query: str, limit: int) -> list[Excerpt]:
        """The best `limit` sections, at most two of a page; none where the query has no words."""
        words = list(dict.fromkeys(_TERM.findall(query.lower())))
        terms = ([term for term in words if term not in _FILLERS] or words)[:_WORDS_MAX]
        if not terms:
            return []
        *whole, last = terms
        phrases = [*(f'"{term}"' for term in whole), self._completed(last)]
        everything = " AND ".join(phrases)
        # With the words of each name, as one that stands nowhere may be misspelled.
        parts = [word for term in terms for word in _WORD.findall(term)][:_WORDS_MAX]
        anything = " OR ".join([*(f'"{word}"' for word in parts), phrases[-1]])
        with self._lock:
            numbers = self._best(self._ranked(everything, anything), limit)
            return [self._excerpt(anything, number) for number in numbers]

    def _completed(self, term: str) -> str:
        """The term, or any of the frequent words that begin like its last one.

        FTS5 would look for stems with this beginning, and "remaini" begins none.
        """
        *before, word = _WORD.findall(term)
        start = bisect_left(self._words, word)
        longer = []
        for known in self._words[start:]:
            if not known.startswith(word):
                break
            longer.append(known)
        common = nlargest(_COMPLETIONS_MAX, longer, key=self._counts.__getitem__)
        phrases = (" ".join([*before, each]) for each in dict.fromkeys([word, *common]))
        return "(" + " OR ".join(f'"{phrase}"' for phrase in phrases) + ")"

    def _ranked(self, everything: str, anything: str) -> Iterator[int]:
        """Numbers of sections, the best first; most come more than once.

        However often a text says the words, pages and sections that are called so come first, and
        samples last. Sections that say all the words come before those that say any.
        """
        yield from self._fitting(f"title : ({everything})")
        yield from self._fitting(f"heading : ({everything})")
        yield from self._called(anything)
        yield from self._fitting(f"- code : ({everything})")
        yield from self._fitting(everything)
        yield from self._fitting(anything)

    def _fitting(self, match: str) -> Iterator[int]:
        for (rowid,) in self._database.execute(_RANK, (match, _RANKED_MAX)):
            yield rowid - 1

    def _called(self, anything: str) -> Iterator[int]:
        """Those of whose titles the query says every word, and more than one word.

        Someone who asks how to create a key with a limit in JavaScript wants "Create a key".
        """
        match = f"{{title heading}} : ({anything})"
        for rowid, title, heading in self._database.execute(_CALLED, (match, _RANKED_MAX)):
            rest, count = _MARKED.subn(" ", title or heading)
            if count > 1 and _FILLERS.issuperset(_WORD.findall(rest.lower())):
                yield rowid - 1

    def _best(self, ranked: Iterable[int], limit: int) -> list[int]:
        """The first of these numbers that are allowed in one list."""
        taken, best = Counter[str](), dict[int, None]()
        for number in ranked:
            path = self._sections[number].page.path
            if number in best or taken[path] == _EXCERPTS_A_PAGE:
                continue
            taken[path] += 1
            best[number] = None
            if len(best) == limit:
                break
        return [*best]

    def _excerpt(self, match: str, number: int) -> Excerpt:
        section = self._sections[number]
        text = self._shown(match, number, _TEXT)
        if MARKS[0] not in text:
            code = self._shown(match, number, _CODE)
            text = code if MARKS[0] in code else text
        page = section.page
        return Excerpt(
            page.path, page.title, section.heading, section.anchor, _cut(text or page.description)
        )

    def _shown(self, match: str, number: int, column: int) -> str:
        (text,) = self._database.execute(_SHOW, (column, match, number + 1)).fetchone()
        return " ".join(text.split())


def _row(section: _IndexedSection) -> tuple[str, str, str, str, str]:
    title = section.page.title
    # The reader's address is put in place of ORIGIN later, and a mark in it would prevent that.
    text, code = (" ".join(each).replace(ORIGIN, "") for each in (section.text, section.code))
    if section.heading:
        return "", section.heading, title, text, code
    return title, "", "", text, code


def _sections_of(page: Page) -> Iterator[_IndexedSection]:
    """Split a page at its headings; those of the HTML say what the anchors are."""
    anchors = list(page.headings)
    section = _IndexedSection(page, "", "", [], [])
    heading = ""
    for token in MarkdownIt("commonmark").enable("table").parse(page.markdown):
        if token.type == "heading_open":
            heading = token.tag
        elif token.type == "fence":
            section.code.append(token.content)
        elif token.type != "inline":
            continue
        elif heading in _HEADING_LEVELS:
            yield section
            text = _text_of(token)
            section = _IndexedSection(page, text, _take_anchor(anchors, text), [], [])
            heading = ""
        elif heading:  # the title
            heading = ""
        else:
            section.text.append(_text_of(token))
    yield section


def _text_of(token: Token) -> str:
    children = token.children or []
    return "".join(child.content or " " * (child.type == "softbreak") for child in children)


def _take_anchor(headings: list[Heading], text: str) -> str:
    """The anchor of the next heading of this text; none where the HTML has other headings."""
    for number, heading in enumerate(headings):
        if heading.text == text:
            del headings[: number + 1]
            return heading.anchor
    return ""


def _cut(text: str) -> str:
    """At most as long as an excerpt may be, with as many marks of either kind."""
    if len(text) <= _EXCERPT_CHARS:
        return text
    before, after = MARKS
    text = text[: _EXCERPT_CHARS - 2]
    return text + "…" + after * (text.count(before) - text.count(after))

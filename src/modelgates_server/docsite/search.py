"""The search over the documentation: a full-text index of SQLite, in memory.

Each row is the content under one heading. Words are matched by their stems ("remaining" finds
"remain"), and the last word of a query also as the beginning of a word. Names such as
`total_credits` are matched as a whole.
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
from modelgates_server.docsite.reference.markdown import SAMPLES
from modelgates_server.docsite.search_topics import Target, targets_of

MARKS = "\x02", "\x03"
"""The characters before and after each match in an excerpt."""

_EXCERPT_CHARS = 300
_EXCERPTS_A_PAGE = 2
_WORDS_MAX = 8
"""Words of a query that are used: with twice as many, excerpts take three times as long."""

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
"""Ignored if a query has other words: assistants ask in sentences."""

_LAST = "Decisions"
"""The section whose pages come after all others: they explain and do not help with a task."""

_DATA = frozenset({"yaml", "yml"})
"""Languages that are searched but never quoted. A line out of its structure says nothing."""

_HEADING_LEVELS = ("h2", "h3", "h4")

_CREATE = """
create virtual table sections using fts5 (
  title,   -- of the page, in the row of its beginning alone
  heading, -- of the section, in all other rows
  page,    -- the title again, in all other rows
  text,
  code,
  data,    -- of the languages in _DATA
  last unindexed,
  tokenize = 'porter unicode61'
)
"""
_INSERT = "insert into sections values (?, ?, ?, ?, ?, ?, ?)"
_RANK = """
select rowid from sections where sections match ? and last = ?
order by bm25(sections, 10.0, 5.0, 1.0, 1.0, 0.2, 0.1), rowid limit ?
"""
_CALLED = """
select rowid, highlight(sections, 0, char(2), char(3)), highlight(sections, 1, char(2), char(3))
from sections where sections match ? and last = ?
order by bm25(sections, 10.0, 5.0), rowid limit ?
"""
_SHOW = """
select snippet(sections, ?, char(2), char(3), '…', 36)
from sections where sections match ? and rowid = ?
"""
_TEXT, _CODE = 3, 4


class _IndexedSection(msgspec.Struct):
    """The content under one heading; `heading` and `anchor` are empty above the first one."""

    page: Page
    heading: str
    anchor: str
    text: list[str]
    code: list[str]
    data: list[str]


class Index:
    """Finds sections of pages. Safe to use from any thread."""

    def __init__(self, pages: Iterable[Page]) -> None:
        self._sections = [section for page in pages for section in _sections_of(page)]
        self._lock = Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(_CREATE)
        rows = [_row(section) for section in self._sections]
        self._database.executemany(_INSERT, rows)
        self._counts = Counter(
            word for row in rows for column in row[:-1] for word in _WORD.findall(column.lower())
        )
        self._paths = {section.page.path for section in self._sections}
        self._words = sorted(self._counts)

    def find(self, query: str, limit: int) -> list[Excerpt]:
        """The best `limit` sections, at most two of each page; none for a query without words.

        The pages of the query's topic come first; see `search_topics`.
        """
        words = list(dict.fromkeys(_TERM.findall(query.lower())))
        terms = ([term for term in words if term not in _FILLERS] or words)[:_WORDS_MAX]
        if not terms:
            return []
        *whole, last = terms
        phrases = [*(f'"{term}"' for term in whole), self._completed(last)]
        everything = " AND ".join(phrases)
        # With the words of each name, as a name that occurs nowhere may be misspelled.
        parts = [word for term in terms for word in _WORD.findall(term)][:_WORDS_MAX]
        anything = " OR ".join([*(f'"{word}"' for word in parts), phrases[-1]])
        with self._lock:
            first = {
                self._section_about(target): target
                for target in targets_of([*dict.fromkeys(parts)])
                if target.path in self._paths
            }
            numbers = self._best([*first, *self._ranked(everything, anything)], limit)
            return [self._excerpt(anything, number, first.get(number)) for number in numbers]

    def _completed(self, term: str) -> str:
        """The term, or any of the frequent words that begin with its last word.

        FTS5 would look for stems with this beginning, and no stem begins with "remaini".
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

    def _section_about(self, target: Target) -> int:
        """The section of the target's page with these words, in its heading if possible."""
        own = [n for n, each in enumerate(self._sections) if each.page.path == target.path]
        words = " OR ".join(f'"{word}"' for word in _WORD.findall(target.about))
        if words:
            all_words = words.replace(" OR ", " AND ")
            for match in (f"heading : ({all_words})", f"heading : ({words})", all_words):
                for last in (0, 1):
                    for number in self._matching(match, last=last):
                        if number in own:
                            return number
        return own[0]

    def _ranked(self, everything: str, anything: str) -> Iterator[int]:
        """Numbers of sections, the best first; most come more than once.

        Pages and headings with the words come first however often a text has them, and samples
        come last. Sections with all the words come before sections with some. Decisions come after
        all other pages with all the words.
        """
        for last in (0, 1):
            yield from self._matching(f"title : ({everything})", last=last)
            yield from self._matching(f"heading : ({everything})", last=last)
            yield from self._named(anything, last=last)
            yield from self._matching(f"- {{code data}} : ({everything})", last=last)
            yield from self._matching(everything, last=last)
        for last in (0, 1):
            yield from self._matching(anything, last=last)

    def _matching(self, match: str, *, last: int) -> Iterator[int]:
        for (rowid,) in self._database.execute(_RANK, (match, last, _RANKED_MAX)):
            yield rowid - 1

    def _named(self, anything: str, *, last: int) -> Iterator[int]:
        """Sections with a title or heading of two words or more that are all in the query.

        Someone who asks how to create a key with a limit in JavaScript wants "Create a key". Titles
        come before headings: other pages may have a part about the same.
        """
        for column in ("title", "heading"):
            match = f"{column} : ({anything})"
            for row in self._database.execute(_CALLED, (match, last, _RANKED_MAX)):
                rowid, title, heading = row
                rest, count = _MARKED.subn(" ", title or heading)
                if count > 1 and _FILLERS.issuperset(_WORD.findall(rest.lower())):
                    yield rowid - 1

    def _best(self, ranked: Iterable[int], limit: int) -> list[int]:
        """The first of these numbers, without repetitions and without too many of one page."""
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

    def _excerpt(self, match: str, number: int, target: Target | None) -> Excerpt:
        section = self._sections[number]
        page = section.page
        text = target.text if target else self._quoted(match, number)
        return Excerpt(
            page.path,
            page.title,
            section.heading,
            section.anchor,
            _cut(text or page.description),
            page.section,
        )

    def _quoted(self, match: str, number: int) -> str:
        """The words around the matches, in the text or in a sample."""
        text = self._shown(match, number, _TEXT)
        if MARKS[0] in text:
            return text
        code = self._shown(match, number, _CODE)
        return code if MARKS[0] in code else text

    def _shown(self, match: str, number: int, column: int) -> str:
        (text,) = self._database.execute(_SHOW, (column, match, number + 1)).fetchone()
        return " ".join(text.split())


def _row(section: _IndexedSection) -> tuple[str, str, str, str, str, str, int]:
    page = section.page
    # The reader's address replaces ORIGIN later, and a mark inside it would prevent that.
    text, code, data = (
        " ".join(each).replace(ORIGIN, "") for each in (section.text, section.code, section.data)
    )
    heading = "" if section.heading == SAMPLES else section.heading
    names = ("", heading, page.title) if section.heading else (page.title, "", "")
    return (*names, text, code, data, int(page.section == _LAST))


def _sections_of(page: Page) -> Iterator[_IndexedSection]:
    """Split a page at its headings, with the anchors of the HTML."""
    anchors = list(page.headings)
    # A specification is the whole page's, under a heading that only its Markdown has.
    data = list[str]()
    section = _IndexedSection(page, "", "", [], [], data)
    heading = ""
    for token in MarkdownIt("commonmark").enable("table").parse(page.markdown):
        if token.type == "heading_open":
            heading = token.tag
        elif token.type == "fence":
            (data if token.info in _DATA else section.code).append(token.content)
        elif token.type != "inline":
            continue
        elif heading in _HEADING_LEVELS:
            yield section
            text = _text_of(token)
            section = _IndexedSection(page, text, _take_anchor(anchors, text), [], [], [])
            heading = ""
        elif heading:  # the title
            heading = ""
        else:
            (section.code if section.heading == SAMPLES else section.text).append(_text_of(token))
    yield section


def _text_of(token: Token) -> str:
    children = token.children or []
    return "".join(child.content or " " * (child.type == "softbreak") for child in children)


def _take_anchor(headings: list[Heading], text: str) -> str:
    """The anchor of the next heading with this text; empty if the HTML has no such heading."""
    for number, heading in enumerate(headings):
        if heading.text == text:
            del headings[: number + 1]
            return heading.anchor
    return ""


def _cut(text: str) -> str:
    """Shorten a text to the length of an excerpt, and close its marks."""
    if len(text) <= _EXCERPT_CHARS:
        return text
    before, after = MARKS
    text = text[: _EXCERPT_CHARS - 2]
    return text + "…" + after * (text.count(before) - text.count(after))

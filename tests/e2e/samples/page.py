"""The samples on a page of the reference, as a reader copies them."""

from html.parser import HTMLParser


class _Tabs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.samples: dict[str, str] = {}
        self._language = ""
        self._in_code = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self._language = dict(attrs).get("data-tab") or ""
        elif tag == "pre" and self._language:
            assert self._language not in self.samples, "a tab has two blocks of code"
            self.samples[self._language] = ""
            self._in_code = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "section":
            self._language = ""
        elif tag == "pre":
            self._in_code = False

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.samples[self._language] += data


def samples_on(html: str) -> dict[str, str]:
    """The code in each tab, by its language."""
    tabs = _Tabs()
    tabs.feed(html)
    tabs.close()
    return tabs.samples

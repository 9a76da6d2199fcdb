"""Links in the descriptions of the OpenAPI document, whose own links are relative."""

import re

from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.reference.markdown import references
from modelgates_server.docsite.reference.operations import Operation
from modelgates_server.docsite.schemas import Schema

_SCHEMA = "#/components/schemas/"
_ROOTED = re.compile(r"\]\(/docs/")
_CODE = re.compile(r"(?<!\[)`([^`]+)`")


class Links:
    """Turns the operations and schemas that a text names into links to their pages."""

    def __init__(self, document: Schema, operations: list[Operation]) -> None:
        self._pages = dict[str, str]()
        for operation in operations:
            described = document["paths"][operation.path][operation.method.lower()]
            self._pages[f"{operation.method} {operation.path}"] = operation.page
            for reference in references(document, described):
                if reference.startswith(_SCHEMA):
                    self._pages.setdefault(reference.removeprefix(_SCHEMA), operation.page)

    def put(self, text: str, page: str) -> str:
        """Markdown with absolute URLs. A name that `page` itself describes gets no link."""

        def linked(code: re.Match[str]) -> str:
            to = self._pages.get(code[1], page)
            return code[0] if to == page else f"[{code[0]}]({ORIGIN}/docs/{to})"

        return _CODE.sub(linked, _ROOTED.sub(f"]({ORIGIN}/docs/", text))

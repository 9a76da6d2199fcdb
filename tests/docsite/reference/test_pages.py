"""The pages of operations: each is complete, and its examples fit the schemas."""

import json
from collections.abc import Callable
from copy import deepcopy
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml

from modelgates_server.docsite.markdown import plain
from modelgates_server.docsite.model import ORIGIN, Page
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.reference import pages as reference
from modelgates_server.docsite.samples import samples_of
from tests.web.document import operations_of, referenced, validator

DOCUMENT = document_at(ORIGIN)
PAGES = {page.path.rpartition("/")[2]: page for page in reference.pages(DOCUMENT)}
OPERATIONS: dict[str, dict[str, Any]] = {o["operationId"]: o for *_, o in operations_of(DOCUMENT)}
EVIL = "</code></pre><script>alert(1)</script><img src=x onerror=alert(1)>"
VOID = {"input", "img", "br", "hr"}


class Read(HTMLParser):
    """A page as a browser reads it: its elements with their attributes and texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[int] = []
        self.feed(html)
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for number in self._open:
            self.texts[number] += data

    def of(self, tag: str, **attributes: str) -> list[str]:
        """The texts of elements with these attributes."""
        expected = {name.rstrip("_"): value for name, value in attributes.items()}.items()
        return [
            self.texts[number]
            for number, (name, given) in enumerate(self.elements)
            if name == tag and expected <= given.items()
        ]


def read(page: Page) -> Read:
    return Read(page.html)


def parameters_of(path: str, operation: dict[str, Any]) -> list[dict[str, Any]]:
    item = DOCUMENT["paths"][path]
    both = [*item.get("parameters", ()), *operation.get("parameters", ())]
    return [
        p for p in (referenced(DOCUMENT, each) for each in both) if p["name"] != "Authorization"
    ]


def path_of(operation_id: str) -> str:
    [path] = [
        path
        for path, item in DOCUMENT["paths"].items()
        if any(isinstance(o, dict) and o.get("operationId") == operation_id for o in item.values())
    ]
    return str(path)


@pytest.fixture(params=OPERATIONS)
def operation_id(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_operation_has_a_page_below_its_tag() -> None:
    assert set(PAGES) == {"overview", *OPERATIONS}
    folders = {
        "credits": "Credits",
        "api-keys": "API keys",
        "inference": "Inference",
        "models": "Models",
        "usage": "Usage",
        "server": "Server",
    }
    for name, operation in OPERATIONS.items():
        _, _, folder, last = PAGES[name].path.split("/")
        assert (last, PAGES[name].title) == (name, operation["summary"])
        assert PAGES[name].section == f"API reference: {folders[folder]}"
    assert PAGES["get-credits"].path == "api/api-reference/credits/get-credits"
    sections = [page.section for page in PAGES.values()]
    assert sections == sorted(sections, key=sections.index), "a section is in two places"


def test_page_has_request_line_kinds_of_keys_and_all_parameters(operation_id: str) -> None:
    page, operation = read(PAGES[operation_id]), OPERATIONS[operation_id]
    path = path_of(operation_id)
    server = DOCUMENT["paths"][path].get("servers", DOCUMENT["servers"])[0]["url"]
    [request] = page.of("pre", class_="highlight endpoint")
    method = next(m for m, o in DOCUMENT["paths"][path].items() if o is operation).upper()
    assert request == f"{method} {server}{path}"
    # An attribute gets the path prefix under which the page is served.
    [form] = [given for tag, given in page.elements if tag == "form"]
    assert (form["data-method"], form["data-url"]) == (method, f"{server}{path}")
    assert [kind.strip() for kind in page.of("dt") if kind] == operation["x-key-kinds"]
    needs = operation.get("security", DOCUMENT["security"])
    assert bool(needs) == any("Authorization: Bearer" in text for text in page.of("code"))
    assert bool(needs) != any("needs no key" in text for text in page.of("p"))
    names = [text.split()[0] for text in page.of("p", class_="member")]
    fields = {given["data-parameter"] for _, given in page.elements if "data-parameter" in given}
    for parameter in parameters_of(path, operation):
        assert parameter["name"] in names
        assert parameter["name"] in fields
    assert len(fields) == len(parameters_of(path, operation))


def test_page_has_every_response_with_examples_that_fit_its_schema(
    operation_id: str,
) -> None:
    page, operation = read(PAGES[operation_id]), OPERATIONS[operation_id]
    shown = page.of("pre", class_="highlight")
    anchors = [heading.anchor for heading in PAGES[operation_id].headings]
    anchors += [given["id"].removeprefix("status-") + "-" for given in groups(page)]
    for status, referring in operation["responses"].items():
        answer = referenced(DOCUMENT, referring)
        assert [anchor for anchor in anchors if anchor.startswith(f"{status}-")]
        for media_type, content in answer["content"].items():
            checked = validator(DOCUMENT, content["schema"])
            examples = [*content.get("examples", {}).values()] or [{"value": content["example"]}]
            for example in examples:
                value = referenced(DOCUMENT, example)["value"]
                matching = [text for text in shown if value_in(text, media_type) == value]
                assert matching, f"{status} {media_type} is not shown"
                checked.validate(value_in(matching[0], media_type))


def groups(page: Read) -> list[dict[str, str]]:
    """The attributes of the groups of errors, one for each status."""
    return [
        {name: value or "" for name, value in given.items()}
        for tag, given in page.elements
        if tag == "div" and (given.get("id") or "").startswith("status-")
    ]


def value_in(text: str, media_type: str) -> Any:
    """The value of a text in a media type, or None."""
    readers: dict[str, Callable[[str], Any]] = {
        "application/json": json.loads,
        "application/yaml": yaml.safe_load,
    }
    try:
        return readers[media_type](text)
    except KeyError:
        return text
    except (ValueError, yaml.YAMLError):
        return None


def test_page_has_every_error_in_a_folded_row_with_message_and_remedy(operation_id: str) -> None:
    page, operation = read(PAGES[operation_id]), OPERATIONS[operation_id]
    for status, referring in operation["responses"].items():
        for content in referenced(DOCUMENT, referring)["content"].values():
            for name, cause in content.get("examples", {}).items():
                example = referenced(DOCUMENT, cause)
                if int(status) < 400:
                    continue
                [row] = page.of("details", id=f"error-{status}-{name}")
                words = " ".join(row.split())
                assert words.startswith(f"{status} {plain(example['summary'])}")
                assert example.get("x-error-code", "") in words
                assert f" {example['value']['error']['message']} " in words
                assert plain(example["x-remedy"]) in words
    folded = [given for tag, given in page.elements if given.get("class") == "error"]
    assert not any("open" in given for given in folded)


def test_required_fields_and_those_of_the_examples_come_first() -> None:
    html = PAGES["create-chat-completion"].html
    body = html[html.index('id="request-body"') :]
    places = [
        body.index(f"<code>{name}</code> <span")
        for name in ("messages", "model", "stream", "max_tokens", "tools", "provider")
    ]
    assert places == sorted(places)


def test_fields_of_a_message_and_a_tool_have_rows_of_their_type() -> None:
    page = read(PAGES["create-chat-completion"])
    rows = [" ".join(text.split()) for text in page.of("p", class_="member")]
    for row in (
        "messages array of objects required",
        "role string",
        "content string, array of objects or null",
        "image_url object",
        "tool_call_id string",
        "tools array of objects or null",
        "parameters object",
        "temperature number",
        "response_format object",
    ):
        assert row in rows
    [roles] = [text for text in page.of("div", class_="facts") if "developer" in text]
    assert roles.split() == ["One", "of", "system,", "developer,", "user,", "assistant,", "tool"]


def test_page_has_the_samples_of_its_operation(operation_id: str) -> None:
    page = read(PAGES[operation_id])
    path = path_of(operation_id)
    method = next(m for m, o in DOCUMENT["paths"][path].items() if o is OPERATIONS[operation_id])
    for sample in samples_of(DOCUMENT, path, method):
        [text] = page.of("section", **{"data-tab": sample.language})
        assert sample.code in text
        assert sample.note in text


def test_headings_are_where_the_page_says(operation_id: str) -> None:
    page = read(PAGES[operation_id])
    ids = [given["id"] for _, given in page.elements if "id" in given]
    assert len(ids) == len(set(ids))
    for heading in PAGES[operation_id].headings:
        [text] = page.of(f"h{heading.level}", id=heading.anchor)
        assert text == heading.text
    assert {"responses", "errors", "sdk-code-examples", "try-it"} <= set(ids)
    targets = [given["href"] or "" for _, given in page.elements if "href" in given]
    assert {target[1:] for target in targets if target.startswith("#")} <= set(ids)


def test_page_has_no_inline_code_and_no_field_that_a_browser_submits(operation_id: str) -> None:
    for tag, given in read(PAGES[operation_id]).elements:
        assert tag not in {"script", "style", "iframe"}
        assert not [name for name in given if name.startswith("on") or name == "style"]
        assert "name" not in given, "a browser without the script would put it into the URL"


def test_every_field_has_a_label(operation_id: str) -> None:
    page = read(PAGES[operation_id])
    fields = [given["id"] for tag, given in page.elements if tag in {"input", "select", "textarea"}]
    labels = [given["for"] for tag, given in page.elements if tag == "label"]
    assert labels == fields


def test_body_to_try_is_the_example(operation_id: str) -> None:
    page, body = read(PAGES[operation_id]), OPERATIONS[operation_id].get("requestBody")
    areas = page.of("textarea")
    if body is None:
        assert areas == []
        return
    content = body["content"]["application/json"]
    values = [example["value"] for example in content.get("examples", {}).values()]
    values = values or [content["example"]]
    assert json.loads(areas[0]) == values[0]
    options = [
        given["value"] for tag, given in page.elements if tag == "option" and given.get("value")
    ]
    assert [json.loads(str(text)) for text in options] == (values if len(values) > 1 else [])


def test_operations_and_schemas_that_a_text_names_are_links_but_not_to_their_own_page() -> None:
    base = f"{ORIGIN}/docs/api/api-reference"
    alias = PAGES["get-current-key-alias"]
    assert f'<a href="{base}/api-keys/get-current-key"><code>GET /key</code></a>' in alias.html
    assert f"[`GET /key`]({base}/api-keys/get-current-key)" in alias.markdown
    naming = deepcopy(DOCUMENT)
    for verb in ("get", "patch"):
        naming["paths"]["/keys/{hash}"][verb]["description"] = "See `UpdateKeyRequest`."
    pages = {page.path.rpartition("/")[2]: page.html for page in reference.pages(naming)}
    linked = f'<a href="{base}/api-keys/update-key"><code>UpdateKeyRequest</code></a>'
    assert linked in pages["get-key"]
    assert "<code>UpdateKeyRequest</code>" in pages["update-key"]
    assert f'href="{base}/api-keys/update-key"' not in pages["update-key"]
    guide = f"{ORIGIN}/docs/guides/overview/auth/management-api-keys"
    assert f'<a href="{guide}">Management key</a>' in PAGES["get-credits"].html


def test_description_is_a_sentence_of_plain_text(operation_id: str) -> None:
    description = PAGES[operation_id].description
    assert description.endswith(".")
    assert "`" not in description
    assert "\n" not in description


def test_markup_in_the_document_is_text_on_the_page() -> None:
    evil = deepcopy(DOCUMENT)
    operation = evil["paths"]["/keys"]["post"]
    operation["description"] = operation["summary"] = EVIL
    operation["parameters"][0] |= {"name": EVIL, "description": EVIL, "example": f'" {EVIL}'}
    body = operation["requestBody"]["content"]["application/json"]
    body["schema"] = {"type": "object", "properties": {EVIL: {"enum": [EVIL], "title": EVIL}}}
    body["examples"] = {
        name: {"summary": EVIL, "value": {EVIL: f"</textarea>{EVIL}"}} for name in ("a", "b")
    }
    refusal = operation["responses"]["400"]["content"]["application/json"]["examples"]["past"]
    refusal |= {"x-remedy": EVIL, "value": {"error": {"message": EVIL}}}
    [page] = [p for p in reference.pages(evil) if p.path.endswith("/create-key")]
    tags = {tag for tag, _ in read(page).elements}
    assert not tags & {"script", "img"}
    assert not any("onerror" in given for _, given in read(page).elements)
    assert EVIL in read(page).of("p", class_="message")
    assert any(EVIL in text for text in read(page).of("label"))
    assert any(EVIL in text for text in read(page).of("textarea"))

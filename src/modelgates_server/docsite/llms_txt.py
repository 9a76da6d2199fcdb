"""The documentation for programs: Markdown, llms.txt, the sitemap and the API catalog."""

import json
from collections.abc import Sequence
from xml.sax.saxutils import escape

from modelgates_server.docsite.model import ORIGIN, Page, Section

LINKSET = 'application/linkset+json; profile="https://www.rfc-editor.org/info/rfc9727"'
"""RFC 9727, section 4; the format is RFC 9264's."""

_DOCS = f"{ORIGIN}/docs"
_MCP = f"{_DOCS}/_mcp/server"
_DIRECTIVE = (
    "For clean Markdown of any page, append .md to the page URL. "
    f"For a complete documentation index, see {_DOCS}/llms.txt. "
    f"For full documentation content, see {_DOCS}/llms-full.txt. "
    "For AI client integration (Claude Code, Cursor, etc.), connect to the MCP server at "
    f"{_MCP}."
)
_SUMMARY = (
    "A self-hosted LLM gateway with prepaid credits that are exact, never overspent and provable. "
    f"Its API, at {ORIGIN}/api/v1, speaks OpenAI's and OpenRouter's language."
)


def url(path: str) -> str:
    """The address of a page."""
    return f"{_DOCS}/{path}" if path else _DOCS


def markdown(page: Page) -> str:
    """The Markdown of a page, below a line that shows programs where the rest is."""
    return f"{_DIRECTIVE}\n\n{page.markdown}"


def llms(sections: Sequence[Section]) -> str:
    """The index (https://llmstxt.org)."""
    parts = [f"# ModelGates\n\n> {_SUMMARY}\n\n{_DIRECTIVE}\n"]
    for section in sections:
        lines = (
            f"- [{page.title}]({url(page.path)}.md): {page.description}\n" for page in section.pages
        )
        parts.append(f"## {section.title}\n\n{''.join(lines)}")
    parts.append(
        "## Optional\n\n"
        f"- [OpenAPI description, JSON]({_DOCS}/openapi.json): every operation of the API\n"
        f"- [OpenAPI description, YAML]({_DOCS}/openapi.yaml): the same\n"
        f"- [All pages in one file]({_DOCS}/llms-full.txt)\n"
    )
    return "\n".join(parts)


def llms_full(sections: Sequence[Section]) -> str:
    """All pages in one text."""
    parts = [f"{_DIRECTIVE}\n"]
    for section in sections:
        for page in section.pages:
            title, _, body = page.markdown.partition("\n")
            parts.append(f"{title}\n\nSource: {url(page.path)}\n\n{body.strip()}\n")
    return "\n".join(parts)


def sitemap(sections: Sequence[Section]) -> str:
    """All pages (https://www.sitemaps.org/protocol.html)."""
    places = "".join(
        f"<url><loc>{escape(url(page.path))}</loc></url>\n"
        for section in sections
        for page in section.pages
    )
    schema = "http://www.sitemaps.org/schemas/sitemap/0.9"
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return f'{head}<urlset xmlns="{schema}">\n{places}</urlset>\n'


def robots() -> str:
    """Crawlers may read the pages, but not the API (RFC 9309)."""
    return f"User-agent: *\nDisallow: /api/\n\nSitemap: {_DOCS}/sitemap.xml\n"


def catalog(*, is_served: bool) -> bytes:
    """The addresses of the API, its description and its documentation (RFC 9727).

    The address of the gateway's health is included if the gateway serves the site (`is_served`).
    """
    links = {
        "anchor": f"{ORIGIN}/api/v1",
        "service-desc": [
            {"href": f"{_DOCS}/openapi.json", "type": "application/json"},
            {"href": f"{_DOCS}/openapi.yaml", "type": "application/yaml"},
        ],
        "service-doc": [
            {"href": _DOCS, "type": "text/html"},
            {"href": f"{_DOCS}/llms.txt", "type": "text/plain"},
        ],
    }
    if is_served:
        links["status"] = [{"href": f"{ORIGIN}/healthz", "type": "application/json"}]
    return json.dumps({"linkset": [links]}, indent=2).encode()

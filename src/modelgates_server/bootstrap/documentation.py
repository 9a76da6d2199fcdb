"""Exports the documentation as static files."""

from pathlib import Path

from modelgates_server.docsite.export import write
from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.site import build_site
from modelgates_server.web.pages.negotiation import checked_base


def build_docs(folder: Path, base_url: str) -> dict[str, str | int]:
    """Writes the files; returns their front page, number and size. Raises `InvalidInput`."""
    url = checked_base(base_url, "--base-url")
    # A static web server cannot search.
    files = write(build_site(document_at(ORIGIN), searchable=False), folder, url)
    return {
        "path": str(folder.resolve()),
        "front_page": f"{url}/docs",
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
    }

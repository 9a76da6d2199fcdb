"""Writes the site into a folder, for any server of files."""

from collections.abc import Iterator
from pathlib import Path

from modelgates_server.core.errors import InvalidInput
from modelgates_server.web.docs.copies import rebased
from modelgates_server.web.docs.pages import HTML, Document
from modelgates_server.web.docs.site import Site

OURS = ".modelgates-docs"
"""Stands in a folder that was made here, which may therefore be written anew."""


def write(site: Site, folder: Path, base_url: str) -> list[Path]:
    """Write all documents of a site for readers at `base_url`; the files that were written.

    What an earlier build left in the folder is deleted. Raises `InvalidInput` for a folder with
    anything else in it.
    """
    _clear(folder)
    documents = {**site.documents, "404.html": Document(HTML, site.missing())}
    written = []
    for name, document in documents.items():
        path = folder / name
        if document.is_page and not path.suffix:
            path /= "index.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rebased(document.body, base_url, is_html=document.is_page))
        written.append(path)
    listed = sorted(path.relative_to(folder).as_posix() for path in written)
    (folder / OURS).write_text("".join(f"{name}\n" for name in listed), encoding="utf-8")
    return written


def _clear(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(parents=True)
        return
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is not a folder")
    here = {path for path in folder.rglob("*") if not path.is_dir()}
    if foreign := here - set(_left_by_us(folder)):
        raise InvalidInput(
            f"{folder} has files that no earlier build wrote, such as "
            f"{min(foreign).relative_to(folder)}: name a folder that is empty or does not exist"
        )
    for path in here:
        path.unlink()


def _left_by_us(folder: Path) -> Iterator[Path]:
    mark = folder / OURS
    if mark.exists():
        yield mark
        for name in mark.read_text(encoding="utf-8").splitlines():
            yield folder / name

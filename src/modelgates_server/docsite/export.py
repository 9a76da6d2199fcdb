"""Writes the site into a folder, for any file server."""

from collections.abc import Iterable
from pathlib import Path

from modelgates_server.core.errors import InvalidInput
from modelgates_server.docsite.model import HTML, Document
from modelgates_server.docsite.rebase import rebased
from modelgates_server.docsite.site import Site

FILE_LIST = ".modelgates-docs"
"""Lists the files of the last build, which the next build may replace."""

_NEXT = f"{FILE_LIST}.next"


def write(site: Site, folder: Path, base_url: str) -> list[Path]:
    """Write all documents of a site for readers at `base_url`, and return the files.

    Deletes the files of an earlier build, even of an interrupted one. Raises `InvalidInput` if the
    folder contains other files or symbolic links.
    """
    documents = {**site.documents, "404.html": Document(HTML, site.missing())}
    written = {folder / _file(name, document): document for name, document in documents.items()}
    earlier = _earlier_files(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # The list is complete at every moment, so an interrupted build can be repeated.
    _list(folder, {*earlier, *written})
    for path in earlier:
        path.unlink()
    for path, document in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rebased(document.body, base_url, is_html=document.is_page))
    _list(folder, written)
    return list(written)


def _file(name: str, document: Document) -> str:
    return f"{name}/index.html" if document.is_page and not Path(name).suffix else name


def _list(folder: Path, files: Iterable[Path]) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    (folder / _NEXT).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    (folder / _NEXT).replace(folder / FILE_LIST)


def _earlier_files(folder: Path) -> set[Path]:
    """The files of an earlier build that still exist, except their list."""
    if not folder.exists():
        return set()
    if not folder.is_dir():
        raise InvalidInput(
            f"{folder} is not a folder. Name a folder, or a path that does not exist."
        )
    # A link may lead out of the folder.
    links = {path for path in folder.rglob("*") if path.is_symlink()}
    here = {path for path in folder.rglob("*") if not path.is_dir()}
    lists = {folder / FILE_LIST, folder / _NEXT}
    if foreign := links or here - lists - {folder / name for name in _names(folder / FILE_LIST)}:
        raise InvalidInput(
            f"{folder} contains files that no earlier build wrote, such as "
            f"{min(foreign).relative_to(folder)}. Name a folder that is empty or does not exist."
        )
    return here - lists


def _names(listing: Path) -> list[str]:
    return listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []

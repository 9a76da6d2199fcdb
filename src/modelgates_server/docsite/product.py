"""The facts about ModelGates that every page shows."""

from importlib import metadata

from modelgates_server import __version__

VERSION = __version__

_PACKAGE = "modelgates-server"
_LABELS = ("repository", "source", "source code")


def repository_url() -> str:
    """The address of the repository in the package's metadata, or empty if it has none.

    It comes from `Repository` in the table `[project.urls]` of pyproject.toml.
    """
    try:
        urls = metadata.metadata(_PACKAGE).get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    named = (each.partition(",") for each in urls)
    found: list[str] = [url.strip() for label, _, url in named if label.lower() in _LABELS]
    return found[0] if found else ""

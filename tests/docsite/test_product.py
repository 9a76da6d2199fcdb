"""The facts in the header of every page."""

from email.message import Message
from importlib import metadata

import pytest

from modelgates_server import __version__
from modelgates_server.docsite.product import VERSION, repository_url


def test_version_is_that_of_the_package() -> None:
    assert __version__ == VERSION


@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        ([], ""),
        (["Homepage, https://a.example"], ""),
        (["Homepage, https://a.example", "Repository, https://b.example/x"], "https://b.example/x"),
        (["Source Code, https://c.example"], "https://c.example"),
    ],
)
def test_repository_comes_from_the_metadata_of_the_package(
    urls: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = Message()
    for url in urls:
        message["Project-URL"] = url
    monkeypatch.setattr(metadata, "metadata", lambda _: message)
    assert repository_url() == expected


def test_repository_is_unknown_without_an_installed_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> Message:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", missing)
    assert repository_url() == ""

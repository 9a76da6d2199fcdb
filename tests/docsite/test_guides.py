from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder

from modelgates_server.docsite import guides
from modelgates_server.docsite.guides import _description, load, relinked
from modelgates_server.docsite.model import ORIGIN

DOCS = Path(__file__).parents[2] / "docs"
FILES = {"index", "concepts/credits", "guides/overview/quickstart"}


def test_every_file_is_in_the_navigation_once() -> None:
    files = sorted(path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md"))
    assert sorted(page.path or "index" for page in load()) == files


def test_pages_follow_the_navigation_with_the_front_page_first() -> None:
    navigation = yaml.safe_load((DOCS / "navigation.yaml").read_text("utf-8"))
    expected = [(section["title"], path) for section in navigation for path in section["pages"]]
    assert [(page.section, page.path or "index") for page in load()] == expected
    assert load()[0].path == ""


def test_page_has_one_title_and_a_describing_sentence(
    subtests: pytest.Subtests,
) -> None:
    for page in load():
        with subtests.test(page.path):
            assert page.markdown.startswith("# ")
            assert "<h1" not in page.html
            assert page.title
            assert len(page.description) > 15
            assert page.description[-1] in ".!?:"
            assert "\n" not in page.description


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[q](../guides/overview/quickstart.md)", f"[q]({ORIGIN}/docs/guides/overview/quickstart)"),
        ("[`c`](credits.md#holds)", f"[`c`]({ORIGIN}/docs/concepts/credits#holds)"),
        ("[f](../index.md)", f"[f]({ORIGIN}/docs)"),
        ("see [`t.py`](../../src/t.py), [b](c.md)", "see `t.py`, b"),
        ("[a](#here) [b](https://x.example)", "[a](#here) [b](https://x.example)"),
        ("```sh\n[q](credits.md)\n```", "```sh\n[q](credits.md)\n```"),
        ("````\n```\n[q](credits.md)\n````", "````\n```\n[q](credits.md)\n````"),
    ],
)
def test_links_between_files_become_links_between_pages(link: str, expected: str) -> None:
    assert relinked(link, "concepts/holds", FILES) == expected


@pytest.mark.parametrize(
    ("body", "description"),
    [
        ("\nOne `a.b` thing. Another.\n\nMore.", "One a.b thing."),
        ("\n```\nx\n```\n\nWords over\ntwo lines.", "Words over two lines."),
        ("Status: accepted, 2026\n\n**Context.** It is so. And so.", "It is so."),
    ],
)
def test_description_is_the_first_sentence_as_plain_text(body: str, description: str) -> None:
    assert _description(body) == description


def test_installed_package_reads_the_guides_that_it_contains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "navigation.yaml").write_text("[{title: T, pages: [index]}]")
    (tmp_path / "index.md").write_text("# Packaged\n\nIt is.\n")
    monkeypatch.setattr(guides, "_PACKAGED", tmp_path)
    [page] = load()
    assert (page.path, page.title) == ("", "Packaged")


def test_wheel_contains_the_guides_templates_and_assets(tmp_path: Path) -> None:
    [wheel] = WheelBuilder(str(DOCS.parent)).build(directory=str(tmp_path), versions=["standard"])
    carried = set(ZipFile(wheel).namelist())
    package = "modelgates_server/docsite"
    texts = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert {f"{package}/guides/{name}" for name in (*texts, "navigation.yaml")} <= carried
    for folder in ("assets", "templates"):
        files = (DOCS.parent / "src" / package / folder).iterdir()
        assert {f"{package}/{folder}/{file.name}" for file in files} <= carried

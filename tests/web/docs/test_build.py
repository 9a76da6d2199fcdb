from pathlib import Path

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.web.docs.build import OURS, write
from modelgates_server.web.docs.pages import ORIGIN
from modelgates_server.web.docs.site import Site, build_site
from modelgates_server.web.openapi import document_at
from tests.web.docs.conftest import Elements

BASE = "https://example.com/llm"


@pytest.fixture(scope="module")
def boxless() -> Site:
    return build_site(document_at(ORIGIN), searchable=False)


@pytest.fixture(scope="module")
def built(boxless: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("built")
    write(boxless, folder, BASE)
    return folder


def test_all_documents_become_files_with_the_reader_s_address(built: Path, site: Site) -> None:
    for name, document in site.documents.items():
        file = built / name / "index.html" if document.is_page else built / name
        body = file.read_bytes()
        assert ORIGIN.encode() not in body
        assert document.is_page or (BASE.encode() in body) == (ORIGIN.encode() in document.body)
    assert (built / "404.html").exists()


def test_every_link_on_a_page_is_a_file(built: Path) -> None:
    files = [*built.rglob("*.html")]
    assert len(files) > 10
    for file in files:
        page = Elements(file.read_text("utf-8"))
        assert "q" not in page.values("name"), "a box that nobody answers"
        for url in [*page.values("href"), *page.values("src")]:
            if not url.startswith("/llm/docs"):
                continue
            path = built / url.removeprefix("/llm/").partition("#")[0]
            assert path.is_file() or (path / "index.html").is_file(), url


def test_a_folder_of_an_earlier_build_is_written_anew(tmp_path: Path, site: Site) -> None:
    folder = tmp_path / "new" / "site"
    written = write(site, folder, BASE)
    gone = folder / "docs/old/index.html"
    gone.parent.mkdir()
    gone.touch()
    with (folder / OURS).open("a") as listed:
        listed.write("docs/old/index.html\n")
    assert write(site, folder, BASE) == written
    assert not gone.exists()


def test_what_somebody_else_wrote_is_left_alone(tmp_path: Path, site: Site) -> None:
    mine = tmp_path / "thesis.txt"
    mine.write_text("years of work")
    with pytest.raises(InvalidInput, match=r"such as thesis\.txt"):
        write(site, tmp_path, BASE)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    mine.unlink()
    write(site, tmp_path, BASE)
    (tmp_path / "docs/mine.html").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidInput, match="such as docs/mine"):
        write(site, tmp_path, BASE)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_list_of_files_cannot_name_one_elsewhere(tmp_path: Path, site: Site) -> None:
    outside, folder = tmp_path / "precious", tmp_path / "site"
    outside.touch()
    folder.mkdir()
    (folder / OURS).write_text("../precious\n")
    write(site, folder, BASE)
    assert outside.exists()


def test_a_file_is_no_folder(tmp_path: Path, site: Site) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="not a folder"):
        write(site, tmp_path / "file", BASE)

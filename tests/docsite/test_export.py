import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from modelgates_server.core.errors import InvalidInput
from modelgates_server.docsite.export import FILE_LIST, write
from modelgates_server.docsite.model import ORIGIN
from modelgates_server.docsite.openapi import document_at
from modelgates_server.docsite.site import Site, build_site
from tests.docsite.conftest import Elements

BASE = "https://example.com/llm"


@pytest.fixture(scope="module")
def boxless() -> Site:
    return build_site(document_at(ORIGIN), searchable=False)


@pytest.fixture(scope="module")
def built(boxless: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("built")
    write(boxless, folder, BASE)
    return folder


def test_every_document_becomes_a_file_with_the_reader_s_address(built: Path, site: Site) -> None:
    for name, document in site.documents.items():
        file = built / name / "index.html" if document.is_page else built / name
        body = file.read_bytes()
        assert ORIGIN.encode() not in body
        assert document.is_page or (BASE.encode() in body) == (ORIGIN.encode() in document.body)
    assert (built / "404.html").exists()


def test_every_link_of_a_built_page_leads_to_a_file(built: Path) -> None:
    files = [*built.rglob("*.html")]
    assert len(files) > 10
    for file in files:
        page = Elements(file.read_text("utf-8"))
        assert "q" not in page.values("name"), "a search box without a search"
        for url in [*page.values("href"), *page.values("src")]:
            if not url.startswith("/llm/docs"):
                continue
            path = built / url.removeprefix("/llm/").partition("#")[0]
            assert path.is_file() or (path / "index.html").is_file(), url


def test_built_pages_contain_the_policy_that_no_file_server_sends(built: Path) -> None:
    for file in built.rglob("*.html"):
        tags = Elements(file.read_text("utf-8")).found
        [at] = [i for i, (_, a) in enumerate(tags) if a.get("http-equiv")]
        assert at < min(i for i, (tag, _) in enumerate(tags) if tag in {"link", "script"})
        assert tags[at][1]["http-equiv"] == "Content-Security-Policy"
        policy = tags[at][1]["content"]
        assert policy.startswith("default-src 'none'; script-src 'self'; ")
        assert "frame-ancestors" not in policy, "browsers ignore it here, and complain"


def test_built_catalog_names_only_files_that_exist(built: Path) -> None:
    [links] = json.loads((built / ".well-known/api-catalog").read_text("utf-8"))["linkset"]
    assert set(links) == {"anchor", "service-desc", "service-doc"}
    for one in links["service-desc"] + links["service-doc"]:
        assert (built / one["href"].removeprefix(f"{BASE}/")).exists()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["write_text", "replace", "unlink", "write_bytes", "mkdir"])
def test_build_can_be_repeated_when_it_was_interrupted(
    step: str, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site"
    works, lasting = getattr(Path, step), 0

    def dies(path: Path, *args: Any, **named: Any) -> Any:
        nonlocal lasting
        lasting -= 1
        if lasting == 0:
            if step == "write_text":
                works(path, "do", **named)
            raise Killed
        return works(path, *args, **named)

    for earlier in (False, True):
        for steps in (1, 2, 40):
            if earlier:
                write(site, folder, BASE)
                (folder / "gone.html").touch()
                (folder / FILE_LIST).write_text((folder / FILE_LIST).read_text() + "gone.html\n")
            with monkeypatch.context() as patch:
                lasting = steps
                patch.setattr(Path, step, dies)
                with suppress(Killed):
                    write(site, folder, BASE)
            written = write(site, folder, BASE)
            here = [path for path in folder.rglob("*") if path.is_file()]
            assert sorted(here) == sorted([*written, folder / FILE_LIST])


def test_earlier_build_is_replaced_when_its_folder_is_used_again(
    tmp_path: Path, site: Site
) -> None:
    folder = tmp_path / "new" / "site"
    written = write(site, folder, BASE)
    gone = folder / "docs/old/index.html"
    gone.parent.mkdir()
    gone.touch()
    with (folder / FILE_LIST).open("a") as listed:
        listed.write("docs/old/index.html\n")
    assert write(site, folder, BASE) == written
    assert not gone.exists()
    assert "docs/old/index.html" not in (folder / FILE_LIST).read_text().splitlines()


def test_build_is_rejected_when_the_folder_has_other_files(tmp_path: Path, site: Site) -> None:
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


def test_build_deletes_no_file_outside_its_folder(tmp_path: Path, site: Site) -> None:
    outside, folder = tmp_path / "precious", tmp_path / "site"
    outside.touch()
    folder.mkdir()
    (folder / FILE_LIST).write_text("../precious\n")
    write(site, folder, BASE)
    assert outside.exists()


def test_build_is_rejected_when_the_folder_is_a_file(tmp_path: Path, site: Site) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="not a folder"):
        write(site, tmp_path / "file", BASE)


@pytest.mark.parametrize("link", ["docs", "docs/guides", "llms.txt", FILE_LIST, "docs/gone"])
def test_build_is_rejected_when_the_folder_has_a_link(
    link: str, tmp_path: Path, site: Site
) -> None:
    folder, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    write(site, folder, BASE)
    if (folder / link).exists():
        (folder / link).rename(elsewhere)
    (folder / link).symlink_to(elsewhere)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.exists()}
    with pytest.raises(InvalidInput, match=rf"such as {re.escape(link)}\. "):
        write(site, folder, BASE)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.exists()}
    assert after == before

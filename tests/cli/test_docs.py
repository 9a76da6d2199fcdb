from pathlib import Path

import pytest

from modelgates_server.docsite.export import FILE_LIST
from tests.cli.console import Console

BASE = "https://gateway.example/llm"


def build(folder: Path | str, base_url: str = BASE) -> list[str]:
    return ["docs", "build", "--output", str(folder), "--base-url", base_url]


def test_documentation_is_written_without_a_database(console: Console) -> None:
    record = console.run(*build("site"), "--json").json
    written = [path for path in (console.folder / "site").rglob("*") if path.is_file()]
    assert record == {
        "path": str(console.folder / "site"),
        "front_page": f"{BASE}/docs",
        # The file list is not counted.
        "files": len(written) - 1,
        "bytes": sum(path.stat().st_size for path in written if path.name != FILE_LIST),
    }
    assert not console.path.exists()
    page = (console.folder / "site/docs/index.html").read_text("utf-8")
    assert f"{BASE}/docs" in page


@pytest.mark.parametrize("url", ["gateway.example", "", "https://a?b"])
def test_invalid_base_url_writes_nothing(url: str, console: Console) -> None:
    assert console.call(*build("site", url)).refusal.startswith("--base-url must look like")
    assert list(console.folder.iterdir()) == []


def test_folder_with_other_files_is_rejected_in_one_line(console: Console) -> None:
    (console.folder / "mine.txt").touch()
    assert "such as mine.txt" in console.call(*build(console.folder)).refusal

"""The reference of dialects is what the code does."""

from tools.dialect_reference import PAGE, page


def test_reference_of_dialects_shows_the_tables_that_the_code_obeys() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `make reference`"

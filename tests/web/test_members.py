import pytest

from modelgates_server.web.members import folded


@pytest.mark.parametrize(
    "name",
    ["limit_reset", "Limit-Reset", "limitReset", " LIMIT RESET\0", "lim\u0131t_re\u017fet",
     "\uff4c\uff49mit_reset", "l\u00edmit_rese\u0301t", "li\u200bmit_reset", "L\u0130MIT_RESET"],
)  # fmt: skip
def test_names_that_differ_only_in_their_letters_form_are_alike(name: str) -> None:
    assert folded(name) == "limitreset"


@pytest.mark.parametrize("name", ["limit", "limit_resets", "limit_rest", "", "株式会社"])
def test_other_names_stay_others(name: str) -> None:
    assert folded(name) != "limitreset"

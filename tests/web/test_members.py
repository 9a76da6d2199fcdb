import pytest

from modelgates_server.web.members import folded


@pytest.mark.parametrize(
    "name",
    ["limit_reset", "Limit-Reset", "limitReset", " LIMIT RESET\0", "lim\u0131t_re\u017fet",
     "\uff4c\uff49mit_reset", "l\u00edmit_rese\u0301t", "li\u200bmit_reset", "L\u0130MIT_RESET"],
)  # fmt: skip
def test_names_have_one_folded_form_when_only_case_or_letter_forms_differ(name: str) -> None:
    assert folded(name) == "limitreset"


@pytest.mark.parametrize("name", ["limit", "limit_resets", "limit_rest", "", "株式会社"])
def test_other_names_have_other_folded_forms(name: str) -> None:
    assert folded(name) != "limitreset"

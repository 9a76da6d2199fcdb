"""Hints about texts that are not keys: each names what is wrong and repeats no part of the text."""

import pytest

from modelgates_server.core.key_hints import key_hint
from modelgates_server.core.keys import key_text

KEY = key_text(bytes(range(32)))
WRONG_LAST = "0" if KEY[-1] != "0" else "1"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("", "The key is empty."),
        ("  ", "The key is empty."),
        (f'"{KEY}"', "The key is in quotes or brackets."),
        (f"'{KEY}'", "The key is in quotes or brackets."),
        (f"<{KEY}>", "The key is in quotes or brackets."),
        (f'{KEY}"', "The key is in quotes or brackets."),
        (f"Bearer {KEY}", "The key begins with `Bearer`."),
        (f"bearer:{KEY}", "The key begins with `Bearer`."),
        (f"{KEY} x", "The key contains white space."),
        (f"{KEY[:20]}\t{KEY[20:]}", "The key contains white space."),
        (KEY[:-1], "The key is cut off: 1 of its 58 characters are missing."),
        (KEY[:12], "The key is cut off: 46 of its 58 characters are missing."),
        (KEY + "x", "The key is too long: it has 59 characters, not 58."),
        (KEY + "," + KEY, "The key is too long: it has 117 characters, not 58."),
        (KEY[:-1] + "_", "The key contains a character other than letters and digits."),
        (KEY.upper(), "A key begins with `sk-mg-v1-`, in lower case."),
        (KEY[:-1] + WRONG_LAST, "The checksum of the key is wrong."),
        ("YOUR_API_KEY", "The key is a placeholder."),
        ("<your-key>", "The key is in quotes or brackets."),
        ("sk-xxxxxxxxxxxx", "The key is a placeholder."),
        ("sk-...", "The key is a placeholder."),
        ("sk-1234", "The key is a placeholder."),
        ("not-needed", "The key is a placeholder."),
        ("ollama", "The key is a placeholder."),
        ("undefined", "The key is the text of an unset variable."),
        ("null", "The key is the text of an unset variable."),
        ("None", "The key is the text of an unset variable."),
        ("$INFERENCE_KEY", "The key is the name of a variable"),
        ("${MODELGATES_API_KEY}", "The key is the name of a variable"),
        ("%API_KEY%", "The key is the name of a variable"),
        ("process.env.KEY", "The key is the name of a variable"),
        ("sk-or-v1-" + "0123456789abcdef" * 4, "This is a key of OpenRouter."),
        ("sk-ant-api03-abcdefgh", "This is a key of Anthropic."),
        ("sk-proj-abcdefgh", "This is a key of OpenAI."),
        ("sk-abcdefgh", "This is a key of OpenAI or a similar provider."),
        ("gsk_abcdefgh", "This is a key of Groq."),
        ("hello", "This is not a key of this server."),
        ("Ключ", "This is not a key of this server."),
        ("q" * 30_000, "This is not a key of this server."),
    ],
)
def test_hint_says_what_is_wrong_and_repeats_no_secret(text: str, start: str) -> None:
    hint = key_hint(text)
    assert hint is not None
    assert hint.startswith(start)
    assert hint.endswith(".")
    assert len(hint) < 160
    assert KEY[9:20] not in hint
    assert "abcdefgh" not in hint


def test_key_in_the_right_form_has_no_hint() -> None:
    assert key_hint(KEY) is None

"""Finds a secret in anything that the gateway writes, independent of how the gateway hides it."""

import base64
import html
import json
import re
from urllib.parse import unquote

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_ESCAPE = re.compile(r"\\+(?:u00|x)([0-9a-fA-F]{2})")
SHOWN = 12


def encodings(secret: str) -> dict[str, str]:
    """The forms in which a server may quote a secret."""
    escaped = "".join(f"\\u{ord(each):04x}" for each in secret)
    return {
        "plain": secret,
        "bearer": f"Bearer {secret}",
        "beginning": secret[:SHOWN],
        "escaped": escaped,
        "escaped twice": escaped.replace("\\", "\\\\"),
        "URL": "".join(f"%{ord(each):02X}" for each in secret),
        "HTML": "".join(f"&#{ord(each)};" for each in secret),
        "base64": base64.b64encode(secret.encode()).decode(),
        "base64 of a header": base64.b64encode(f"Bearer {secret}".encode()).decode(),
        "base64 of a pair": base64.urlsafe_b64encode(f"u:{secret}".encode()).decode(),
        "upper case": secret.upper(),
        "hexadecimal": secret.encode().hex(),
        "masked": f"{secret[:6]}...{secret[-4:]}",
    }


def is_in(secret: str, data: bytes) -> bool:
    """Whether twelve characters of a secret, or its masked form, are in data in any encoding."""
    pieces = {secret[at : at + SHOWN].lower() for at in range(len(secret) - SHOWN + 1)}
    pieces |= {f"{secret[:6]}...".lower()}
    return any(piece in text.lower() for text in _readings(data) for piece in pieces)


def _readings(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace").replace("\0", "")
    for _ in range(3):
        text = html.unescape(unquote(_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)))
    readings = [text]
    for run in _BASE64.findall(text):
        standard = run.rstrip("=").replace("-", "+").replace("_", "/")
        for start in range(4):
            part = standard[start:]
            part = part[: len(part) // 4 * 4]
            readings.append(base64.b64decode(part).decode("latin-1"))
        if re.fullmatch(r"[0-9a-fA-F]+", run):
            readings.append(bytes.fromhex(run[: len(run) // 2 * 2]).decode("latin-1"))
    return readings


def quoted(text: str) -> str:
    """A text in JSON; its escapes are those of JSON."""
    return json.dumps(text).replace("\\\\", "\\")

"""The format of a recording: a table in TOML, a line `+++`, and a response as `curl -i` prints it.

The bytes after the response's head are sent exactly as they are in the file. The framing of HTTP is
not recorded: `Content-Length`, `Transfer-Encoding` and `Connection` are added when it is sent.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from modelgates_server.core.metering.repairs import Repair
from modelgates_server.core.pricing.catalog import Api
from modelgates_server.core.pricing.usage import Meter

FOLDER = Path(__file__).with_name("data")

RATES_PICO = {
    Meter.INPUT: 1_000_000,
    Meter.CACHE_READ: 100_000,
    Meter.CACHE_WRITE: 1_250_000,
    Meter.CACHE_WRITE_1H: 2_000_000,
    Meter.OUTPUT: 10_000_000,
    Meter.REASONING: 11_000_000,
    Meter.OUTPUT_IMAGE: 30_000_000,
    Meter.OUTPUT_AUDIO: 40_000_000,
}
"""The price of every recording, in picos per token. They differ, so that a wrong class shows."""


class ExpectedError(msgspec.Struct, forbid_unknown_fields=True):
    """The error that a client gets.

    `code` is the error code of the generation, `status` the HTTP status or the one in the stream,
    and `says` a part of its message or of the provider's words.
    """

    code: Literal[
        "provider_refused", "provider_rate_limited", "provider_unavailable", "provider_timed_out"
    ]
    status: int
    says: str = ""
    retry_after_s: int | None = None


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """The response that a client gets. Lists have an item for each choice.

    `tool_calls` are the calls of the first choice: id, name, arguments. An id `*` is any that is
    not empty. `tokens` are what is charged, by class; None if they are estimated, or if nothing is
    charged. `keeps` are parts of the response that clients must still find in it. An empty list for
    `finish` leaves the ends open.
    """

    text: str | list[str] = ""
    reasoning: str = ""
    refusal: str | None = None
    tool_calls: list[tuple[str, str, str]] = []
    finish: str | list[str] | None = "stop"
    images: int = 0
    tokens: dict[Meter, int] | None = None
    estimated: bool = False
    error: ExpectedError | None = None
    repairs: set[Repair] = set()
    keeps: list[str] = []
    embeddings: list[list[float] | str] | None = None

    @property
    def texts(self) -> list[str]:
        """The text of each choice."""
        return self.text if isinstance(self.text, list) else [self.text]

    @property
    def finishes(self) -> list[str | None]:
        """The finish reason of each choice."""
        return [*self.finish] if isinstance(self.finish, list) else [self.finish]

    @property
    def cost_pico(self) -> int:
        """The charge for `tokens`, each class at its rate."""
        return sum(RATES_PICO[meter] * count for meter, count in (self.tokens or {}).items())


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    provider: str
    source: str
    about: str
    expected: Expected
    api: Api = Api.CHAT
    ends: Literal["clean", "reset", "truncated"] = "clean"
    request: dict[str, Any] = {}
    model: dict[str, Any] = {}


class Recording(msgspec.Struct, frozen=True):
    """A provider's response, with the request that it belongs to.

    `source` is a public page that shows the form of the response, and `about` says what is special
    about it. `ends` is what happens to the connection after `body`. `request` has the parameters in
    addition to the prompt, `model` the fields of the model's table in modelgates.toml.
    """

    name: str
    provider: str
    source: str
    about: str
    expected: Expected
    api: Api
    ends: str
    request: dict[str, Any]
    model: dict[str, Any]
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def streams(self) -> bool:
        """Whether the client requests a stream."""
        return bool(self.request.get("stream"))

    @property
    def includes_usage(self) -> bool:
        """Whether the client requests a chunk with the usage."""
        return bool(self.request.get("stream_options", {}).get("include_usage"))

    @property
    def model_id(self) -> str:
        """The name under which the gateway offers the model."""
        return f"{self.name}/model"

    def request_body(self) -> bytes:
        """The client's request."""
        prompts: dict[Api, dict[str, Any]] = {
            Api.CHAT: {"messages": [{"role": "user", "content": "Say hello."}]},
            Api.COMPLETIONS: {"prompt": "Say hello."},
            Api.EMBEDDINGS: {"input": "Say hello."},
        }
        return msgspec.json.encode({"model": self.model_id, **prompts[self.api], **self.request})


def read_recording(path: Path) -> Recording:
    """Read a file; raises `ValueError` that says what is wrong with it."""
    table, separator, response = path.read_bytes().partition(b"\n+++\n")
    if not separator:
        raise ValueError(f"{path.name} has no line `+++` between its table and its response.")
    try:
        fields = msgspec.toml.decode(table, type=_Table)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path.name}: {error}") from error
    head, response_has_head, body = response.partition(b"\n\n")
    status_line, *lines = head.decode("ascii").split("\n")
    if not response_has_head or not status_line.startswith("HTTP/"):
        raise ValueError(
            f"{path.name}: `+++` is followed by a status line, headers, an empty line."
        )
    return Recording(
        name=path.stem,
        status=int(status_line.split()[1]),
        headers=dict(line.split(": ", 1) for line in lines),
        body=body,
        **msgspec.structs.asdict(fields),
    )


def all_recordings() -> list[Recording]:
    """All recordings, in the order of their names."""
    return [read_recording(path) for path in sorted(FOLDER.glob("*.recording"))]

"""The sandbox's whole reaction to one request, as a value that a provider or server plays."""

from collections.abc import Iterable, Iterator

import msgspec

_WRITE_BYTES = 64 * 1024


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One response: its headers follow after `head_ms`, each piece of its body after `chunk_ms`.

    A body of bytes is sent whole, with its length.
    `is_cut`: the connection breaks off where the body would end.
    """

    body: bytes | Iterable[bytes]
    status: int = 200
    is_stream: bool = False
    head_ms: int = 0
    chunk_ms: int = 0
    retry_after_s: int | None = None
    is_cut: bool = False

    def writes(self) -> Iterator[bytes]:
        """The body in as few writes as its pace allows."""
        if isinstance(self.body, bytes):
            yield self.body
            return
        if self.chunk_ms:
            yield from self.body
            return
        gathered: list[bytes] = []
        size = 0
        for piece in self.body:
            gathered.append(piece)
            size += len(piece)
            if size >= _WRITE_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
        if gathered:
            yield b"".join(gathered)


class ScriptedError(Exception):
    """The sandbox rejects a request; `code` and `param` are those of OpenAI's errors."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    def script(self) -> Script:
        """The error response."""
        body = error_body(self.status, str(self), code=self.code, param=self.param)
        return Script(body=body, status=self.status)


def error_body(
    status: int, message: str, *, code: str | None = None, param: str | None = None
) -> bytes:
    """An error in OpenAI's shape; the status determines its type."""
    kinds = {429: "rate_limit_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004
    error = {"message": message, "type": kind, "param": param, "code": code}
    return msgspec.json.encode({"error": error})

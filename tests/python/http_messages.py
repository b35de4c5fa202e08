"""HTTP/1.1 messages as they are on the wire: just enough for a stand-in server and a proxy."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True)
class Message:
    """A request or an answer: first line and headers with the empty line, and the body, both unchanged."""

    head: bytes
    body: bytes = b""

    @property
    def words(self) -> list[str]:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)

    @property
    def status(self) -> int:
        return int(self.words[1])

    def header(self, name: str) -> str | None:
        """The last value of this header, in small letters."""
        for line in reversed(self.head.decode("latin-1").split("\r\n")[1:]):
            key, _, value = line.partition(":")
            if key.strip().lower() == name:
                return value.strip().lower()
        return None

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this message."""
        return self.header("connection") == "close" or b"HTTP/1.0" in self.head.split(b"\r\n", 1)[0]


def read_request(stream: BinaryIO, answers: BinaryIO) -> Message | None:
    """The next request with its whole body; nothing at the end of the connection."""
    head = _read_head(stream)
    if head is None:
        return None
    request = Message(head)
    if request.header("expect") == "100-continue":
        answers.write(CONTINUE)
        answers.flush()
    return Message(head, _read_body(stream, request))


def read_answer(stream: BinaryIO, method: str) -> Message:
    """The next answer that is not an interim one."""
    while True:
        head = _read_head(stream)
        if head is None:
            raise ConnectionError("the server closed without an answer")
        answer = Message(head)
        if answer.status >= 200:
            break
    if method == "HEAD" or answer.status in (204, 304):
        return answer
    if answer.header("content-length") is None and answer.header("transfer-encoding") != "chunked":
        return Message(head, stream.read())
    return Message(head, _read_body(stream, answer))


def read_chunks(stream: BinaryIO) -> tuple[bytes, bytes]:
    """A chunked body: as it is on the wire, and what it carries. The chunks of ``aws-chunked`` look the same."""
    raw, carried = [], []
    while True:
        line = _read_line(stream)
        raw.append(line)
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        chunk = _read(stream, size)
        raw += [chunk, _read(stream, 2)]
        carried.append(chunk)
    while raw[-1] != b"\r\n":
        raw.append(_read_line(stream))  # trailers, then an empty line
    return b"".join(raw), b"".join(carried)


def decoded(message: Message) -> bytes:
    """The object that a request carries."""
    body = message.body
    if message.header("transfer-encoding") == "chunked":
        body = read_chunks(io.BytesIO(body))[1]
    if "aws-chunked" in (message.header("content-encoding") or ""):
        body = read_chunks(io.BytesIO(body))[1]
    return body


def _read_head(stream: BinaryIO) -> bytes | None:
    lines = [stream.readline()]
    if lines[0] == b"":
        return None
    while lines[-1] != b"\r\n":
        lines.append(_read_line(stream))
    return b"".join(lines)


def _read_body(stream: BinaryIO, message: Message) -> bytes:
    if message.header("transfer-encoding") == "chunked":
        return read_chunks(stream)[0]
    return _read(stream, int(message.header("content-length") or 0))


def _read_line(stream: BinaryIO) -> bytes:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the connection ended within a message")
    return line


def _read(stream: BinaryIO, size: int) -> bytes:
    read = stream.read(size)
    if len(read) != size:
        raise ConnectionError("the connection ended within a body")
    return read

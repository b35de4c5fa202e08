"""An S3 stand-in in this process, for what no server from a wheel does: take conditions and ignore them."""

from __future__ import annotations

import hashlib
import socketserver
import threading
from datetime import datetime, timezone
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from http_messages import Message, decoded, read_request

ERRORS = {
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    500: "InternalError",
    501: "NotImplemented",
    503: "SlowDown",
}


def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def answer(method: str, status: int, body: bytes = b"", **headers: str) -> Message:
    """An answer with these headers, whose underscores are dashes."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [] if status == 204 else [f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode()
    return Message(head, b"" if method == "HEAD" else body)


def error(method: str, status: int) -> Message:
    """S3's answer of this status."""
    code = ERRORS.get(status, "InjectedFault")
    text = f"<Error><Code>{code}</Code><Message>{code} of a test</Message><RequestId>test</RequestId></Error>"
    return answer(method, status, text.encode(), Content_Type="application/xml", x_amz_request_id="test")


class ThreadedServer(socketserver.ThreadingTCPServer):
    """A server on a free loopback port while entered; a broken connection is no news."""

    allow_reuse_address = daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            while request := read_request(self.rfile, self.wfile):
                reply = self.server.reply(request)
                self.wfile.write(reply.head + reply.body)
                if request.closes:
                    return
        except OSError:
            return


class LyingS3(ThreadedServer):
    """Keeps ``objects`` by ``bucket/key``, has any bucket, checks no signature and ignores conditions.

    An ``honest`` one checks them and answers as AWS does: 412, and 404 to If-Match on a key that is not there.
    """

    access_key, secret_key, region = "any", "any", "us-east-1"

    def __init__(self, honest: bool = False) -> None:
        super().__init__(_Connection)
        self.honest = honest
        self.objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def reply(self, request: Message) -> Message:
        method, target, _ = request.words
        url = urlsplit(target)
        key = unquote(url.path)[1:]
        bucket, _, name = key.partition("/")
        with self._lock:
            if not name:
                return self._list(bucket, url.query) if method == "GET" else answer(method, 200)
            if refused := self._refusal(method, key, request):
                return error(method, refused)
            return self._object(method, key, request)

    def _object(self, method: str, key: str, request: Message) -> Message:
        if method == "PUT":
            self.objects[key] = decoded(request)
            return answer(method, 200, ETag=etag(self.objects[key]))
        if method == "DELETE":
            self.objects.pop(key, None)
            return answer(method, 204)
        if method not in ("GET", "HEAD"):
            return error(method, 501)
        if key not in self.objects:
            return error(method, 404)
        return answer(method, 200, self.objects[key], ETag=etag(self.objects[key]))

    def _refusal(self, method: str, key: str, request: Message) -> int | None:
        if not self.honest or method not in ("PUT", "DELETE"):
            return None
        held, expected = self.objects.get(key), request.header("if-match")
        if request.header("if-none-match") == "*" and held is not None:
            return 412
        if expected is None:
            return None
        if held is None:
            return 404
        return None if expected.strip('"') in ("*", etag(held).strip('"')) else 412

    def _list(self, bucket: str, query: str) -> Message:
        prefix = parse_qs(query).get("prefix", [""])[0]
        inside = sorted(key for key in self.objects if key.startswith(f"{bucket}/{prefix}"))
        parts = ["<Name>", escape(bucket), "</Name><Prefix>", escape(prefix), "</Prefix>"]
        parts += [f"<KeyCount>{len(inside)}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"]
        parts += [self._listed(key) for key in inside]
        text = f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{"".join(parts)}</ListBucketResult>'
        return answer("GET", 200, text.encode(), Content_Type="application/xml")

    def _listed(self, key: str) -> str:
        body, now = self.objects[key], datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        name = escape(key.partition("/")[2])
        fields = {"Key": name, "LastModified": now, "ETag": escape(etag(body)), "Size": len(body)}
        inner = "".join(f"<{field}>{value}</{field}>" for field, value in fields.items())
        return f"<Contents>{inner}<StorageClass>STANDARD</StorageClass></Contents>"

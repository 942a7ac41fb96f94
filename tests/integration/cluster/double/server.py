"""The double of an API server: HTTP, the calls that it saw, and the faults that it was told to have."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.integration.cluster.double.objects import Objects, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMESPACE = "dubline-test"
PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>apps)/v1)/namespaces/(?P<namespace>[^/]+)/(?P<plural>pods|deployments)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<part>scale|status))?)?"
)
MERGE_PATCHES = {"application/merge-patch+json", "application/strategic-merge-patch+json"}
GROUPS = {"pods": "", "deployments": "apps"}
VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Call:
    """A call in the terms of a Role."""

    verb: str
    group: str
    resource: str
    name: str
    agent: str


@dataclass(slots=True)
class Fault:
    """What happens instead of some calls."""

    verb: str
    resource: str
    times: int = 1
    code: int = 0
    """A status; 0: the connection ends without an answer."""
    headers: tuple[tuple[str, str], ...] = ()
    hold: threading.Event | None = None
    """Nothing is sent before it is set, which is longer than the client waits."""
    after: bool = False
    """Whether the call has its effect before the fault."""
    change: Any = None
    """Called before the call is carried out, which then happens as usual."""


class Double:
    """A server that keeps its objects in memory."""

    def __init__(self) -> None:
        self.objects = Objects()
        self.calls: list[Call] = []
        self.faults: deque[Fault] = deque()
        self.never = threading.Event()
        """For faults that hold an answer back until the test ends."""
        self.stale: list[dict[str, Any]] | None = None
        """Pods that lists have instead of the present ones."""
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

            def do_GET(self) -> None:
                _handle(double, self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - named by the library

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[Double]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield self
        self.never.set()
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, path: Path) -> Path:
        """Write the file with which clients find the server."""
        named = {"cluster": "double", "user": "tester", "namespace": NAMESPACE}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "double", "cluster": {"server": self.url}}],
            "users": [{"name": "tester", "user": {"token": "none"}}],
            "contexts": [{"name": "double", "context": named}],
            "current-context": "double",
        }
        path.write_text(json.dumps(document))
        return path

    def fault_of(self, call: Call) -> Fault | None:
        with self.objects.lock:
            self.calls.append(call)
            for fault in self.faults:
                if (fault.verb, fault.resource) == (call.verb, call.resource) and fault.times > 0:
                    fault.times -= 1
                    return fault
            return None

    def execute(self, call: Call, request: Any, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        """Carry out a call; return the status and the answer."""
        plural, _, part = call.resource.partition("/")
        objects = self.objects
        if call.verb == "list":
            labels = dict(one.split("=") for one in query.get("labelSelector", [""])[0].split(",") if one)
            items = objects.list(plural, labels) if self.stale is None or plural != "pods" else self.stale
            return 200, {
                "kind": "List",
                "apiVersion": "v1",
                "metadata": {"resourceVersion": objects.version},
                "items": items,
            }
        if call.verb == "patch" and request.headers["Content-Type"] not in MERGE_PATCHES:
            raise RefusedError(415, "UnsupportedMediaType", "the double knows merge patches only")
        if call.verb == "create":
            return 201, objects.create(plural, body)
        if part == "scale":
            return 200, self._scale(call, body)
        if call.verb == "get":
            return 200, objects.get(plural, call.name)
        if call.verb == "delete":
            return 200, objects.delete(plural, call.name)
        return 200, (objects.patch if call.verb == "patch" else objects.replace)(plural, call.name, body)

    def _scale(self, call: Call, body: Any) -> Any:
        if call.verb == "get":
            return self.objects.scale(call.name)
        metadata = body.get("metadata") or {}
        if call.verb == "update" and not metadata.get("name"):
            raise RefusedError(400, "BadRequest", "the name of the object was undeterminable: name must be provided")
        spec = body.get("spec") or {}
        if call.verb == "patch" and "replicas" not in spec:
            return self.objects.scale(call.name)
        return self.objects.set_scale(call.name, metadata.get("resourceVersion"), spec)


def _handle(double: Double, request: BaseHTTPRequestHandler) -> None:
    length = int(request.headers.get("Content-Length") or 0)
    body = json.loads(request.rfile.read(length)) if length else None
    url = urlsplit(request.path)
    found = PATH.fullmatch(url.path)
    if found is None or found["namespace"] != NAMESPACE:
        _answer(request, 404, _status(RefusedError(404, "NotFound", "the server could not find the resource")))
        return
    resource = found["plural"] + (f"/{found['part']}" if found["part"] else "")
    verb = VERBS[request.command] if found["name"] or request.command != "GET" else "list"
    agent = request.headers.get("User-Agent", "")
    call = Call(verb, GROUPS[found["plural"]], resource, found["name"] or "", agent)
    fault = double.fault_of(call)
    if fault is not None and fault.change is not None:
        fault.change()
        fault = None
    if fault is not None and not fault.after:
        _fail(request, fault)
        return
    try:
        code, answer = double.execute(call, request, parse_qs(url.query), body)
    except RefusedError as refused:
        code, answer = refused.code, _status(refused)
    if fault is not None:
        _fail(request, fault)
        return
    _answer(request, code, answer)


def _fail(request: BaseHTTPRequestHandler, fault: Fault) -> None:
    if fault.hold is not None:
        fault.hold.wait(60)
    if not fault.code:
        request.close_connection = True
        return
    _answer(request, fault.code, _status(RefusedError(fault.code, "Fault", "as the test wants")), fault.headers)


def _status(refused: RefusedError) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": str(refused),
        "reason": refused.reason,
        "code": refused.code,
    }


def _answer(
    request: BaseHTTPRequestHandler, code: int, document: Any, headers: tuple[tuple[str, str], ...] = ()
) -> None:
    data = json.dumps(document).encode()
    request.send_response(code)
    for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(data))), *headers):
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(data)

"""Runs a checker without the agent, for unit tests: the same interface, over Python's own sockets. There is no sandbox
and no TLS here, and every address is granted; `vitald try` has all of that. Leave this file as it is.
"""

import enum
import json
import socket
import threading
import time
from dataclasses import dataclass, make_dataclass
from types import SimpleNamespace
from urllib.parse import urlsplit

# What a real host would end; here a test fails instead of hanging.
PATIENCE = 10


@dataclass(frozen=True)
class Err(Exception):
    value: object


def _cases(names: str, *fields: str) -> dict:
    return {name: make_dataclass(name, fields) for name in names.split()}


class InputStream:
    def __init__(self, connection):
        self.connection = connection

    def blocking_read(self, size: int) -> bytes:
        data = _told(self.connection.recv, size)
        if not data:
            raise Err(streams.StreamError_Closed())
        return data


class OutputStream:
    def __init__(self, connection):
        self.connection = connection

    def blocking_write_and_flush(self, data: bytes) -> None:
        _told(self.connection.sendall, data)


class Connection:
    def __init__(self, connection, nanoseconds: int):
        self.connection, self.nanoseconds = connection, nanoseconds

    def __exit__(self, *_):
        self.connection.close()

    def streams(self):
        return InputStream(self.connection), OutputStream(self.connection)

    def timings(self):
        return [("connect", self.nanoseconds)]

    def start_tls(self, options, timeout):
        raise Err(net.Error_Other("TLS is done by the host: try it with `vitald try`"))


def _connect(host, port, timeout):
    start = time.monotonic_ns()
    try:
        connection = socket.create_connection((host, port), PATIENCE)
    except OSError as error:
        raise Err(_cause(error)) from None
    return Connection(connection, time.monotonic_ns() - start)


def _told(function, argument):
    try:
        return function(argument)
    except OSError as error:
        raise Err(streams.StreamError_LastOperationFailed(error)) from None


def _cause(error: OSError):
    if isinstance(error, socket.gaierror):
        return net.Error_NameNotFound()
    known = {ConnectionRefusedError: net.Error_Refused, ConnectionResetError: net.Error_Reset}
    known |= {TimeoutError: net.Error_Timeout, BrokenPipeError: net.Error_Closed}
    return known[type(error)]() if type(error) in known else net.Error_Other(str(error))


streams = SimpleNamespace(
    **_cases("StreamError_Closed"),
    **_cases("StreamError_LastOperationFailed", "value"),
)
net = SimpleNamespace(
    connect=_connect,
    error_of=_cause,
    **_cases("Error_Denied Error_NameNotFound Error_NameUnavailable Error_Refused Error_Unreachable Error_Reset"),
    **_cases("Error_Timeout Error_Closed"),
    **_cases("Error_Tls Error_Other", "value"),
    **_cases("TlsOptions", "server_name", "alpn", "inspect_only", "attributes"),
)
types = SimpleNamespace(
    Status=enum.Enum("Status", "UP DEGRADED DOWN", start=0),
    Kind=enum.Enum("Kind", "GAUGE COUNTER", start=0),
    **_cases("Error_InvalidParams Error_Denied Error_Internal Error_Other", "value"),
    **_cases("Measurement", "name", "kind", "value", "unit", "labels"),
    **_cases("Part", "name", "status", "message"),
    **_cases("Outcome", "status", "message", "measurements", "parts", "state", "attributes"),
    **_cases("Endpoint", "host", "port"),
    **_cases("Request", "target", "endpoints", "params", "timeout", "state", "attributes"),
    **_cases("Scheme", "name", "default_port"),
    **_cases("Description", "summary", "version", "params_schema", "schemes", "attributes"),
)
log = SimpleNamespace(
    Level=enum.Enum("Level", "DEBUG INFO WARN ERROR", start=0),
    log=lambda level, message: print(f"{level.name.lower()}: {message}"),
)


class Peer:
    """A server on a free port of this machine that sends some bytes to whoever comes, and closes."""

    def __init__(self, answer: bytes):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"tcp://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, args=[answer], daemon=True).start()

    def _serve(self, answer: bytes) -> None:
        try:
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=[connection, answer], daemon=True).start()
        except OSError:  # It was closed.
            pass

    def _answer(self, connection, answer: bytes) -> None:
        with connection:
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            # Whoever closes on what it has not read breaks the connection.
            while connection.recv(65536):
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A closed listener is still held by who waits in accept; this one ends that.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def trial(checker: type, target: str, params: dict | None = None, state=None):
    """One run. Returns the outcome; a run that could not judge raises `Err`."""
    url = urlsplit(target)
    port = url.port or next((s.default_port for s in checker().describe().schemes if s.name == url.scheme), None)
    endpoints = [types.Endpoint(url.hostname, port)] if url.hostname else []
    state = None if state is None else json.dumps(state).encode()
    return checker().check(types.Request(target, endpoints, json.dumps(params or {}), 10**9, state, []))

"""The agent's interface (wit/) for a checker in Python. Leave it as it is, and write your checker in app.py.

What fails on the way to the target is DOWN, with the phase and the address in the message; so is an answer that cannot
be understood. What the host refuses, and what says nothing of the target, is an error: the run could not judge. There
is no timeout to set: the host ends a run that takes too long, and says so.
"""

import json
import os
from dataclasses import dataclass

try:
    from componentize_py_types import Err
    from wit_world.imports import log, net, streams, types
except ImportError:  # Not in the sandbox: a unit test.
    from vitald_testing import Err, log, net, streams, types

UP, DEGRADED, DOWN = types.Status.UP, types.Status.DEGRADED, types.Status.DOWN

# Schemes whose ports speak TLS from the first byte.
TLS_SCHEMES = frozenset("https wss tls rediss ldaps imaps pop3s smtps amqps mqtts nntps ftps".split())

CAUSES = {
    net.Error_Denied: "denied",
    net.Error_NameNotFound: "name not found",
    net.Error_NameUnavailable: "no resolver answered",
    net.Error_Refused: "refused",
    net.Error_Unreachable: "unreachable",
    net.Error_Reset: "connection reset",
    net.Error_Timeout: "timeout",
    net.Error_Closed: "connection closed",
}

# What Python raises where an answer is not what it should be: a text that is no number, a key that is not there. Other
# exceptions are mistakes of the checker.
OF_THE_ANSWER = (ValueError, LookupError, ArithmeticError)

# What one write to the host takes at most (wasi:io).
MAX_WRITE = 4096
MAX_MESSAGE = 300


@dataclass
class Verdict:
    status: types.Status
    message: str


def up(message: str) -> Verdict:
    return Verdict(UP, message)


def degraded(message: str) -> Verdict:
    return Verdict(DEGRADED, message)


def down(message: str) -> Verdict:
    return Verdict(DOWN, message)


class Down(Exception):
    """The target is down: for helpers that cannot return a verdict."""


class CannotJudge(Exception):
    """The run says nothing of the target: the check is shown as unknown, with this reason."""


class NetError(Exception):
    """A failed operation on a connection. It prints as `connect 10.0.0.9:25: refused`."""

    def __init__(self, phase: str, peer: str, cause):
        self.phase, self.cause = phase, cause
        super().__init__(f"{phase} {peer}: {CAUSES.get(type(cause)) or cause.value}")


class Stream:
    """An open connection; it closes at the end of its `with`, or of the run."""

    def __init__(self, connection, peer: str, run: "Run"):
        self.connection, self.peer, self.run = connection, peer, run
        self._halves, self._rest = None, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        if self in self.run.streams:
            self.run.streams.remove(self)
            self._halves = None
            self.connection.__exit__(None, None, None)

    def seconds(self, phase: str) -> float | None:
        """How long the host took to `resolve`, to `connect`, or for `tls`; None where it did not do that."""
        return next((took / 1e9 for name, took in self.connection.timings() if name == phase), None)

    def start_tls(self, server_name: str | None = None) -> None:
        """Wraps what follows in TLS. The host verifies the peer with the operator's roots."""
        self._halves, self._rest = None, b""
        self._do("TLS with", self.connection.start_tls, net.TlsOptions(server_name, [], False, []), None)

    def read(self, size: int = 65536) -> bytes:
        """Some bytes, at least one; none at the end."""
        if self._rest:
            data, self._rest = self._rest[:size], self._rest[size:]
            return data
        data = b""
        try:
            while not data:
                data = self._do("read", self._half("read", 0).blocking_read, size)
        except EOFError:
            pass
        self.run.heard = True
        return data

    def read_line(self, limit: int = 4096) -> str:
        """The next line without its end. A longer one is cut; it may also end with the connection."""
        line = b""
        while b"\n" not in line and len(line) < limit:
            news = self.read()
            if not news and not line:
                raise NetError("read", self.peer, net.Error_Closed())
            if not news:
                break
            line += news
        line, end, self._rest = line.partition(b"\n")
        line, self._rest = line[:limit], line[limit:] + (end if len(line) > limit else b"") + self._rest
        return line.rstrip(b"\r").decode(errors="replace")

    def write(self, data: bytes) -> None:
        """Sends it all."""
        output = self._half("write", 1)
        for start in range(0, len(data), MAX_WRITE):
            try:
                self._do("write", output.blocking_write_and_flush, data[start : start + MAX_WRITE])
            except EOFError:
                raise NetError("write", self.peer, net.Error_Closed()) from None

    def _half(self, phase: str, which: int):
        if self._halves is None:
            self._halves = self._do(phase, self.connection.streams)
        return self._halves[which]

    def _do(self, phase: str, function, *arguments):
        try:
            return function(*arguments)
        except Err as error:
            cause = error.value
        if isinstance(cause, streams.StreamError_Closed):
            raise EOFError
        if isinstance(cause, streams.StreamError_LastOperationFailed):
            cause = net.error_of(cause.value) or net.Error_Other(cause.value.to_debug_string())
        raise NetError(phase, self.peer, cause)


class Run:
    """One run: what was asked, and what there is to say beside the verdict."""

    def __init__(self, request, defaults: dict):
        self.target, self.endpoints, self.timeout = request.target, request.endpoints, request.timeout / 1e9
        self.params = defaults | json.loads(request.params or "{}")
        # Anything that JSON can hold, from the last run of this check to the next.
        self.state = json.loads(request.state) if request.state else None
        self.measurements, self.parts = [], []
        # Whether the target has said anything, be it the end.
        self.heard = False
        self.streams = []

    def connect(self, host: str | None = None, port: int | None = None, tls: bool | None = None) -> Stream:
        """Opens a connection to the target, with TLS where its scheme says so, or to another host and port."""
        if host is None:
            if not self.endpoints:
                raise Err(types.Error_InvalidParams("the check has no target to connect to"))
            host, port = self.endpoints[0].host, self.endpoints[0].port
            tls = self.target.partition("://")[0] in TLS_SCHEMES if tls is None else tls
        peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            stream = Stream(net.connect(host, port, None), peer, self)
        except Err as error:
            raise NetError("connect", peer, error.value) from None
        self.streams.append(stream)
        if tls:
            stream.start_tls()
        return stream

    def measure(self, name: str, value: float | None, unit: str = "", counter: bool = False, **labels: str) -> None:
        """A number for /metrics, in a base unit (`seconds`, `bytes`, `ratio`) or none. None is left out."""
        if value is not None:
            kind = types.Kind.COUNTER if counter else types.Kind.GAUGE
            self.measurements.append(types.Measurement(name, kind, float(value), unit, list(labels.items())))

    def part(self, name: str, verdict: Verdict) -> None:
        """A piece of the judgement, for a person to see."""
        self.parts.append(types.Part(name, verdict.status, one_line(verdict.message)))

    def log(self, message: str, level: str = "info") -> None:
        """A line in the agent's log: `debug`, `info`, `warn`, `error`."""
        log.log(log.Level[level.upper()], message)


def checker(check, summary: str, version: str, schemes: dict, schema: dict) -> type:
    """What the agent calls, made from a function that gets a Run and returns a Verdict."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    defaults = {name: of["default"] for name, of in schema.get("properties", {}).items() if "default" in of}

    class Checker:
        def describe(self):
            named = [types.Scheme(name, port) for name, port in schemes.items()]
            return types.Description(summary, version, json.dumps(schema), named, [])

        def check(self, request):
            run = Run(request, defaults)
            verdict = judged(check, run)
            state = None if run.state is None else json.dumps(run.state).encode()
            return types.Outcome(verdict.status, one_line(verdict.message), run.measurements, run.parts, state, [])

    return Checker


def judged(check, run: Run) -> Verdict:
    """The one place that decides whether a failure is the target's."""
    try:
        return check(run)
    except Down as error:
        return down(str(error))
    except CannotJudge as error:
        raise Err(types.Error_Internal(one_line(str(error)))) from None
    except NetError as error:
        return judged_net(error)
    except Err:
        raise
    except Exception as error:
        message = one_line(f"{type(error).__name__}: {error} ({where(error)})")
        if run.heard and isinstance(error, OF_THE_ANSWER):
            return down(message)
        raise Err(types.Error_Internal(message)) from None
    finally:
        for stream in list(run.streams):
            stream.close()


def judged_net(error: NetError) -> Verdict:
    message = one_line(str(error))
    if isinstance(error.cause, net.Error_Denied):
        raise Err(types.Error_Denied(message))
    if isinstance(error.cause, net.Error_NameUnavailable):
        raise Err(types.Error_Other(f"resolver: {message}"))
    if isinstance(error.cause, net.Error_Other) and error.phase in ("connect", "TLS with"):
        raise Err(types.Error_Other(message))
    return down(message)


def where(error: Exception) -> str:
    """The last line of the checker's own that led to it."""
    here, found, trace = os.path.split(__file__), "?", error.__traceback__
    while trace:
        there = os.path.split(trace.tb_frame.f_code.co_filename)
        if there[0] == here[0] and there[1] != here[1]:
            found = f"{there[1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_MESSAGE else line[:MAX_MESSAGE] + "..."

"""A checker in Python: PING over the standard library's socket, which is wasi:sockets here."""

import encodings.idna  # getaddrinfo wants it, and what is not imported now is not there later
import json
import socket

from componentize_py_types import Err
from wit_world.exports import Checker as Interface
from wit_world.imports.types import (
    Description,
    Endpoint,
    Error_Denied,
    Error_InvalidParams,
    Outcome,
    Request,
    Scheme,
    Status,
)

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {"to": {"type": "string", "description": "HOST:PORT to go to instead of the target."}},
}


class Checker(Interface):
    def describe(self) -> Description:
        return Description("Answers PING, asked by Python's socket.", "0.1.0", json.dumps(SCHEMA), [Scheme("redis", 6379)], [])

    def check(self, request: Request) -> Outcome:
        endpoint = destination(request)
        try:
            answer = ping(endpoint)
        except PermissionError as error:
            raise Err(Error_Denied(f"connect {endpoint.host}:{endpoint.port}: {error}"))
        except OSError as error:
            return outcome(Status.DOWN, str(error))
        return outcome(Status.UP if answer == "+PONG" else Status.DOWN, answer)


def destination(request: Request) -> Endpoint:
    to = json.loads(request.params).get("to")
    if to:
        host, _, port = to.rpartition(":")
        return Endpoint(host, int(port))
    if not request.endpoints:
        raise Err(Error_InvalidParams("the check has no target"))
    return request.endpoints[0]


def ping(endpoint: Endpoint) -> str:
    with socket.create_connection((endpoint.host, endpoint.port)) as stream:
        stream.sendall(b"PING\r\n")
        with stream.makefile("r", newline="\r\n") as lines:
            return lines.readline().rstrip("\r\n")


def outcome(status: Status, message: str) -> Outcome:
    return Outcome(status, message, [], [], None, [])

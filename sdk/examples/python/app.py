"""A checker in Python: it waits for a line from a TCP service and looks at how it starts."""

from vitald import Run, Verdict, checker, down, up

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "starts_with": {"type": "string", "default": "220", "description": "What the first line must start with."},
    },
}


def check(run: Run) -> Verdict:
    with run.connect() as stream:
        run.measure("connect", stream.seconds("connect"), "seconds")
        return judge(stream.read_line(), run.params["starts_with"])


def judge(line: str, starts_with: str) -> Verdict:
    if line.startswith(starts_with):
        return up(line)
    return down(f"unexpected greeting: {line}")


# The agent looks for this name.
Checker = checker(
    check,
    summary="Waits for a line from a TCP service and looks at how it starts.",
    version="0.1.0",
    schemes={"tcp": None, "smtp": 25, "smtps": 465},
    schema=SCHEMA,
)

"""The part of the Python example that users leave as it is. Run by tests/components/build in a copy of the example."""

import json
import unittest

import vitald
from vitald import DEGRADED, DOWN, UP, CannotJudge, Down, checker, degraded, up
from vitald_testing import Err, Peer, net, trial, types


def made(check, schema=None):
    return checker(check, summary="", version="0.1.0", schemes={"tcp": None, "tls": 1}, schema=schema or {})


def run(check, answer=b"220 hi\r\n", **arguments):
    with Peer(answer) as peer:
        return trial(made(check), peer.url, **arguments)


class Judging(unittest.TestCase):
    def reason(self, check, **arguments):
        with self.assertRaises(Err) as caught:
            run(check, **arguments)
        return caught.exception.value

    def test_what_the_answer_breaks_is_down_and_a_mistake_is_not(self):
        def number(run):
            return up(str(int(run.connect().read_line())))

        def key(run):
            return up(json.loads(run.connect().read_line())["missing"])

        cases = [
            (number, b"12x\n", "ValueError"),
            (key, b"{}\n", "KeyError"),
            (key, b"no JSON\n", "JSONDecodeError"),
        ]
        for check, answer, message in cases:
            outcome = run(check, answer)
            self.assertEqual(outcome.status, DOWN)
            self.assertIn(message, outcome.message)
            self.assertIn("test_vitald.py:", outcome.message)

        def mistake(run):
            run.connect().read_line()
            return up(undefined_name)  # noqa: F821

        reason = self.reason(mistake)
        self.assertIsInstance(reason, types.Error_Internal)
        self.assertIn("undefined_name", reason.value)

    def test_before_the_first_byte_a_wrong_value_is_the_checkers(self):
        reason = self.reason(lambda run: up(str(int("x"))))
        self.assertIsInstance(reason, types.Error_Internal)

    def test_a_checker_may_say_so_itself(self):
        def lagging(run):
            raise Down("the replica\nlags")

        def unknown(run):
            raise CannotJudge("no baseline yet")

        self.assertEqual((run(lagging).status, run(lagging).message), (DOWN, "the replica lags"))
        self.assertEqual(self.reason(unknown), types.Error_Internal("no baseline yet"))
        self.assertEqual(run(lambda run: degraded("slow")).status, DEGRADED)

    def test_what_the_host_refuses_is_no_verdict(self):
        cases = [
            (net.Error_Denied(), types.Error_Denied("connect h:1: denied")),
            (net.Error_NameUnavailable(), types.Error_Other("resolver: connect h:1: no resolver answered")),
            (net.Error_Other("no socket"), types.Error_Other("connect h:1: no socket")),
        ]
        for cause, wanted in cases:
            with self.assertRaises(Err) as caught:
                vitald.judged_net(vitald.NetError("connect", "h:1", cause))
            self.assertEqual(caught.exception.value, wanted)
        broken = vitald.judged_net(vitald.NetError("read", "h:1", net.Error_Other("strange")))
        self.assertEqual((broken.status, broken.message), (DOWN, "read h:1: strange"))

    def test_a_check_without_a_target_is_told_so(self):
        with self.assertRaises(Err) as caught:
            trial(made(lambda run: up(run.connect().peer)), "")
        self.assertEqual(caught.exception.value, types.Error_InvalidParams("the check has no target to connect to"))


class Running(unittest.TestCase):
    def test_lines_are_cut_where_they_end_or_get_too_long(self):
        def lines(run):
            with run.connect() as stream:
                return up("|".join([stream.read_line(), stream.read_line(4), stream.read_line(), stream.read_line()]))

        self.assertEqual(run(lines, b"one\r\nlong line\nthree\nrest").message, "one|long| line|three")

    def test_what_is_sent_arrives_whole(self):
        def echo(run):
            with run.connect() as stream:
                stream.write(b"x" * 10_000)
                return up(stream.read_line())

        self.assertEqual(run(echo).status, UP)

    def test_state_measurements_parts_and_defaults(self):
        def count(run):
            run.state = {"runs": (run.state or {"runs": 0})["runs"] + 1}
            run.measure("lag", 3, "seconds", shard="a")
            run.measure("total", 7, counter=True)
            run.measure("absent", None)
            run.part("disk", degraded("full\nsoon"))
            return up(run.params["word"])

        schema = {"properties": {"word": {"default": "hi"}, "other": {}}}
        with Peer(b"") as peer:
            outcome = trial(made(count, schema), peer.url, state={"runs": 4})
        self.assertEqual(json.loads(outcome.state), {"runs": 5})
        self.assertEqual(outcome.message, "hi")
        lag, total = outcome.measurements
        self.assertEqual((lag.name, lag.value, lag.unit, lag.labels), ("lag", 3.0, "seconds", [("shard", "a")]))
        self.assertEqual(total.kind, types.Kind.COUNTER)
        self.assertEqual(outcome.parts[0].message, "full soon")

    def test_a_message_is_one_short_line(self):
        outcome = run(lambda run: up("\x1b[2Ja\r\n b " + "é" * 400))
        self.assertTrue(outcome.message.startswith("[2Ja b é"))
        self.assertEqual(len(outcome.message), vitald.MAX_MESSAGE + 3)

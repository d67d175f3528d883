import unittest

from app import Checker, judge
from vitald import DOWN, UP, down, up
from vitald_testing import Peer, trial


class BannerTest(unittest.TestCase):
    def test_the_line_must_start_as_it_should(self):
        self.assertEqual(judge("220 mail ready", "220"), up("220 mail ready"))
        self.assertEqual(judge("500 no", "220"), down("unexpected greeting: 500 no"))

    def test_a_greeting_is_read_and_measured(self):
        with Peer(b"220 mail ready\r\nmore\r\n") as peer:
            outcome = trial(Checker, peer.url)
        self.assertEqual((outcome.status, outcome.message), (UP, "220 mail ready"))
        self.assertEqual(outcome.measurements[0].name, "connect")

    def test_another_greeting_can_be_expected(self):
        with Peer(b"SSH-2.0-x\n") as peer:
            self.assertEqual(trial(Checker, peer.url).status, DOWN)
            self.assertEqual(trial(Checker, peer.url, {"starts_with": "SSH-"}).status, UP)

    def test_what_fails_on_the_way_is_down_with_the_phase(self):
        with Peer(b"") as peer:
            silent = trial(Checker, peer.url)
            self.assertEqual((silent.status, silent.message), (DOWN, f"read 127.0.0.1:{peer.port}: connection closed"))
        refused = trial(Checker, peer.url)
        self.assertEqual((refused.status, refused.message), (DOWN, f"connect 127.0.0.1:{peer.port}: refused"))


if __name__ == "__main__":
    unittest.main()

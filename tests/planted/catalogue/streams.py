"""Bugs of the streams that carry calls, to participants and from clients: what is lost, doubled, mixed up,
never said or held without a bound."""

from functools import partial
from typing import Final

from tests.planted.bugs import Bug, Swap

_TESTS: Final = "tests/integration/test_grpc_streams.py"
_streams = partial(Swap, "coordinator/adapters/grpc_participants/streams.py")
_answers = partial(Swap, "coordinator/adapters/grpc_participants/answers.py")
_bug = partial(Bug, tests=_TESTS)
_from_clients = partial(Swap, "coordinator/api/streams.py")
_bug_of_clients = partial(Bug, tests="tests/unit/test_streams.py")


BUGS: Final = (
    _bug(
        "answers-by-their-order",
        "An answer is given to the call that has waited longest, and not to the one that it names.",
        (
            _streams(
                "answer = self._waiting.pop(numbered.number, None)",
                "answer = self._waiting.pop(min(self._waiting, default=0), None)",
            ),
        ),
    ),
    _bug(
        "lost-with-its-stream",
        "The calls of a stream that broke are told nothing: each waits until its own deadline.",
        (_streams("stream.tell_waiting(proof)", "pass"),),
    ),
    _bug(
        "resent-on-the-next-stream",
        "The calls of a stream that broke are sent again on the next one, under the same attempt.",
        (
            _streams(
                """
                stream.tell_waiting(proof)
                """,
                """
                for answer in stream.take_waiting():
                    answer.follow(asyncio.ensure_future(self.perform(answer.call, answer.left_s())))
                """,
            ),
        ),
    ),
    _bug(
        "numbers-begin-again",
        "Calls in another message have the numbers of those before.",
        (
            _streams(
                """
                for number in taken:
                    del self._outgoing[number]
                """,
                """
                for number in taken:
                    del self._outgoing[number]
                self._number = 0
                """,
            ),
        ),
    ),
    _bug(
        "cancel-not-sent",
        "Nobody tells the service that a call is waited for no more.",
        (
            _streams(
                """
                if self._outgoing.pop(number, None) is None:
                    self._given_up.append(number)
                    self._news.set()
                """,
                """
                self._outgoing.pop(number, None)
                """,
            ),
        ),
    ),
    _bug(
        "cancelled-and-sent",
        "A call that was cancelled before it was sent is sent all the same.",
        (_streams("if self._outgoing.pop(number, None) is None:", "if number:"),),
    ),
    _bug(
        "greeting-not-awaited",
        "Calls are sent before anybody has said that they are taken.",
        (
            _streams(
                """
                await self._greeted.wait()
                while True:
                """,
                """
                while True:
                """,
            ),
        ),
    ),
    _bug(
        "torn-by-its-size",
        "Calls beyond what one message holds are dropped.",
        (
            _streams(
                """
                for number in taken:
                    del self._outgoing[number]
                """,
                """
                self._outgoing.clear()
                """,
            ),
        ),
    ),
    _bug(
        "one-large-message",
        "All that waits goes in one message, however large that gets.",
        (_streams("if before and size > MESSAGE_BYTES_MAX:", "if taken and size < 0:"),),
    ),
    Bug(
        "status-read-as-success",
        "A call that ended with a status on a stream counts as done.",
        (_answers("return _of_status(numbered.status)", 'return Succeeded("null")'),),
        tests="tests/unit/test_numbered_calls.py",
    ),
    _bug(
        "first-server-for-good",
        "All streams stay with the server that was there when they were opened.",
        (
            _streams(
                "len(self._current) > 1 and stream.opened_at", "len(self._current) < 1 and stream.opened_at"
            ),
        ),
    ),
    _bug(
        "stream-cut-with-its-calls",
        "When a stream is left for another, the calls on it that may still be answered are dropped.",
        (_streams("if self._retired and not self._waiting:", "if self._retired:"),),
    ),
    _bug(
        "stuck-and-kept",
        "A stream that answers nothing gets all later calls too.",
        (
            _streams(
                "if self.is_up and self._answered_at < newest_at and not self._retired:",
                "if not self.is_up and self._answered_at > newest_at:",
            ),
        ),
    ),
    _bug(
        "culprit-not-sought",
        "After a stream was broken by what came on it, the next calls go on a stream again.",
        (
            _streams(
                """
                self._stay_alone()
                _log.warning(
                """,
                """
                _log.warning(
                """,
            ),
        ),
    ),
    _bug(
        "blamed-for-its-stream",
        "Each call on a stream that was broken by one is told that it broke the contract.",
        (_streams('proof = unanswered(code, "the stream of its calls broke")', "pass"),),
    ),
    _bug_of_clients(
        "unread-answers-hold-no-place",
        "Answers that a client does not take leave their places to other entries, on however many streams.",
        (
            _from_clients(
                """
                self._ready.append((number, field, answer))
                """,
                """
                self._ready.append((number, field, answer))
                self._give_back(1)
                """,
            ),
            _from_clients("self._give_back(places)", "self._room.set()"),
        ),
    ),
    _bug_of_clients(
        "places-lost-with-their-stream",
        "A stream that is cut gives back none of the places that it has.",
        (_from_clients("self._give_back(self._taken)", "pass"),),
    ),
    _bug_of_clients(
        "unread-refusals-pile-up",
        "A client that reads no refusals is refused on and on.",
        (_from_clients(" or len(self._refused) >= REFUSED_MAX", ""),),
    ),
    _bug_of_clients(
        "a-batch-in-one-turn",
        "All entries of a batch are begun in one turn of the event loop, and nobody else gets one meanwhile.",
        (_from_clients("if index and index % ENTRIES_AT_ONCE == 0:", "if index < 0:"),),
    ),
    _bug_of_clients(
        "each-stream-at-its-own-pace",
        "Each stream begins as many entries in a turn of the event loop as all of them may.",
        (_from_clients("async with self._room_of_all.pace:", "if index:"),),
    ),
)

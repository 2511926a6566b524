"""Bugs of the engine: what is sent before it is durable, forgotten over a restart, or never given back."""

from functools import partial
from typing import Final

from tests.planted.bugs import Bug, Swap

_driver = partial(Swap, "coordinator/engine/driver.py")
_calls = partial(Swap, "coordinator/engine/calls.py")
_dispatcher = partial(Swap, "coordinator/engine/dispatcher.py")
_pool = partial(Swap, "coordinator/engine/pool.py")
_sleepers = partial(Swap, "coordinator/engine/sleepers.py")
_sagas = partial(Swap, "coordinator/engine/sagas.py")
_timers = partial(Swap, "coordinator/engine/timers.py")
_feed = partial(Swap, "coordinator/engine/feed.py")
_mailbox = partial(Swap, "coordinator/engine/mailbox.py")


_DURABILITY: Final = (
    Bug(
        "sent-before-it-is-durable",
        "A call is sent before the record that it begins is on the disk.",
        (
            _driver(
                """
                if self._unwritten:
                    self._write()
                """,
                """
                if self._unwritten:
                    self._send(now)
                    self._write()
                """,
            ),
        ),
        shape="two steps",
    ),
    Bug(
        "turn-during-a-write",
        "What comes while a saga is written is looked at before that is over.",
        (
            _driver(
                """
                events, self._unwritten = self._unwritten, []
                seq = self.summary.seq
                """,
                """
                events, self._unwritten = self._unwritten, []
                self._mailbox.wait(for_s=None)
                seq = self.summary.seq
                """,
            ),
        ),
    ),
    Bug(
        "turn-after-leaving",
        "A saga that was abandoned while it waited for its turn takes that all the same.",
        (
            _driver(
                """
                if self._has_left:
                    return  # it was abandoned while it waited for its turn
                """,
                "",
            ),
        ),
        tests="tests/scenarios/test_many.py",
    ),
    Bug(
        "early-action",
        "An operator is told that it is done when the saga knows of it, not when it is synced.",
        (
            _driver(
                """
                self._asked.append((done, outcome))
                """,
                """
                self._asked.append((done, outcome))
                if isinstance(outcome, bool) and not done.done():
                    done.set_result(outcome)
                """,
            ),
        ),
    ),
    Bug(
        "shown-before-it-is-durable",
        "Who waits for a saga is told of its end before that is on the disk.",
        (
            _driver(
                """
                writing = self._tools.journal.append(self._saga_id, events, summary=summary, seq_expected=seq)
                """,
                """
                self._tools.feed.publish(summary)
                writing = self._tools.journal.append(self._saga_id, events, summary=summary, seq_expected=seq)
                """,
            ),
        ),
    ),
    Bug(
        "begun-not-journaled",
        "That a step begins is noted in memory alone.",
        (
            _driver(
                """
                events, self._unwritten = self._unwritten, []
                seq = self.summary.seq
                """,
                """
                events, self._unwritten = self._unwritten, []
                seq = self.summary.seq
                events = [e for e in events if type(e) is not StepBegun] or events
                """,
            ),
        ),
    ),
)


_TIME: Final = (
    Bug(
        "ttl-ignored",
        "A saga has no deadline, whatever its definition says.",
        (
            _sagas(
                "deadline_at=None if definition.ttl_s is None else at + definition.ttl_s,",
                "deadline_at=None,",
            ),
        ),
    ),
    Bug(
        "deadline-cuts-off-undo",
        "No Compensate is sent after the saga's deadline.",
        (
            _driver(
                "if isinstance(command, Invoke) and saga.deadline_at is not None and not saga.is_decided:",
                "if saga.deadline_at is not None and not saga.is_decided:",
            ),
        ),
    ),
    Bug(
        "call-outlives-the-deadline",
        "A call may take its whole timeout, however little of the saga's time is left.",
        (
            _driver(
                """
                timeout_s = min(timeout_s, saga.deadline_at - now)
                if timeout_s <= 0:
                """,
                """
                if saga.deadline_at <= now:
                """,
            ),
        ),
    ),
    Bug(
        "deadline-not-awaited",
        "Nobody wakes up for a deadline: it is found when something else happens.",
        (
            _driver(
                "saga.deadline_at if saga.abort is None and not saga.is_overdue else None",
                "None",
            ),
        ),
    ),
    Bug(
        "deadline-not-looked-at",
        "That the deadline has come is folded in behind what came after it.",
        (
            _driver(
                "is_late = saga.deadline_at is not None and now >= saga.deadline_at",
                "is_late = saga.deadline_at is not None and now >= saga.deadline_at + 5.0",
            ),
        ),
    ),
    Bug(
        "due-ignored",
        "A step is asked again at once, whatever wait was recorded.",
        (_driver("is_due = command.due_at is None or command.due_at <= now", "is_due = True"),),
    ),
    Bug(
        "granted-and-not-begun",
        "A call whose slot was waited for is sent, and not noted before.",
        (
            _driver(
                "return self._note_begun(command, now)  # it was granted after a wait",
                "return True",
            ),
        ),
    ),
    Bug(
        "granted-in-passing",
        "A call is noted when its slot is granted if it is wanted at that moment, and sent either way.",
        (
            _driver(
                "return self._note_begun(command, now)  # it was granted after a wait",
                "return True",
            ),
            _driver(
                """
                self._calls.hold(message)
                """,
                """
                self._calls.hold(message)
                if any(c.key == message.command.key for c in self._decision.commands):
                    self._note_begun(message.command, now)
                """,
            ),
        ),
        tests="tests/simulation/test_simulation.py",
    ),
    Bug(
        "timers-in-wall-time",
        "A saga lives by the machine's clock, which may be set back between two processes.",
        (_timers("return now if now > self._updated_at else self._updated_at", "return self._clock.now()"),),
    ),
    Bug(
        "wakes-without-room",
        "A saga wakes for a step that is due and finds no room, again and again.",
        (
            _driver(
                "for command in self._decision.commands if self._has_room else ():",
                "for command in self._decision.commands:",
            ),
        ),
    ),
    Bug(
        "timer-forgets-its-moment",
        "A saga that waits longer than a timer is set for is never woken.",
        (
            _driver(
                """
                self._mailbox.wait(for_s=self._wait_s(now))
                """,
                """
                wait_s = self._wait_s(now)
                self._mailbox.wait(for_s=None if wait_s == 30.0 else wait_s)
                """,
            ),
        ),
    ),
)


_RESTARTS: Final = (
    Bug(
        "output-not-made",
        "Nobody makes the output of a saga whose steps are all done.",
        (
            _driver(
                """
                if saga.awaits_output:
                    return shaped_output(saga, self._tools.expressions.evaluate, now)
                """,
                "",
            ),
        ),
    ),
    Bug(
        "damaged-saga-stops-recovery",
        "One saga that cannot be read back keeps all others from being taken up.",
        (
            _pool(
                """
                except (JournalUnavailable, MemoryError) as error:
                    self._fail(error)
                except Exception as error:  # also a bug of ours: this saga costs no other one its recovery
                """,
                """
                except (JournalUnavailable, JournalCorrupt, MemoryError) as error:
                    self._fail(error)
                except Exception as error:  # also a bug of ours: this saga costs no other one its recovery
                """,
            ),
        ),
    ),
    Bug(
        "damaged-saga-passed-over",
        "A saga that cannot be read back is logged, and put before nobody.",
        (
            _pool(
                """
                    await self._quarantine(saga_id, f"It cannot be read back: {_told(error)}.", clock)
                else:
                    return Driver.resumed(decision, seq, self._tools, since=self._sleepers.found_at)
                """,
                """
                    del clock
                else:
                    return Driver.resumed(decision, seq, self._tools, since=self._sleepers.found_at)
                """,
            ),
        ),
    ),
    Bug(
        "restart-forgotten",
        "A saga that is taken up again does not count what was under way as lost.",
        (_driver("if calls_may_be_lost:", "if calls_may_be_lost and saga.heading is Heading.BACKWARD:"),),
        shape="two steps",
    ),
    Bug(
        "sleepers-not-woken",
        "A saga that sleeps at a restart is not taken up when it is due.",
        (
            _sleepers(
                """
                await sleep_until(self.clock_of(saga.updated_at), saga.due_at or 0.0)
                self.rouse(saga_id)
                """,
                """
                await sleep_until(self.clock_of(saga.updated_at), saga.due_at or 0.0)
                """,
            ),
        ),
    ),
    Bug(
        "due-not-taken-up",
        "At recovery a saga that waits for nothing is passed over.",
        (
            _pool(
                "due = [saga for saga in sagas if not self._sleepers.add(saga)]",
                "due = [saga for saga in sagas if not self._sleepers.add(saga) and saga.due_at is not None]",
            ),
        ),
    ),
    Bug(
        "first-hundred-taken-up",
        "Of very many sagas that are due at a start the first hundred are taken up.",
        (_pool("for first in range(0, len(due), _TAKEN_UP_AT_ONCE):", "for first in range(1):"),),
        tests="tests/scenarios/test_many.py",
    ),
    Bug(
        "two-owners-of-a-sleeper",
        "A saga that is taken up for an action is taken up once more when it is due.",
        (
            _sleepers(
                "return self._sleeping.pop(saga_id, None)",
                "return self._sleeping.get(saga_id)",
            ),
        ),
        tests="tests/scenarios/test_operators.py",
    ),
    Bug(
        "sleeper-believed",
        "A saga sleeps until the moment that its row names, whatever its records say.",
        (_pool("if summary.due_at != due_at and", "if summary.due_at is None and"),),
        tests="tests/scenarios/test_parking.py",
    ),
    Bug(
        "two-owners-of-a-dead-letter",
        "Two operators who act on a dead letter at once each get a driver of it.",
        (
            _pool(
                """
                waking = self._waking[saga_id] = self._spawn(work)
                waking.add_done_callback(lambda _: self._waking.pop(saga_id))
                return waking
                """,
                """
                return self._spawn(work)
                """,
            ),
        ),
        tests="tests/scenarios/test_operators.py",
    ),
    Bug(
        "parked-sagas-begin",
        "A saga that is being parked goes on sending.",
        (
            _driver(
                """
                if self._parking:
                    return
                """,
                "",
            ),
        ),
    ),
)


_ADMISSION: Final = (
    Bug(
        "other-content-joined",
        "A request under an id that is taken joins whatever saga has it.",
        (
            _sagas(
                """
                if holder.content != content:
                    raise RequestIdTaken(holder.request_id)
                """,
                "",
            ),
            Swap(
                "coordinator/adapters/sqlite/group.py",
                "return first if first.content == request.content else RequestIdTaken(request.request_id)",
                "return first",
            ),
        ),
    ),
    Bug(
        "content-without-the-input",
        "Two requests are the same if they name the same definition.",
        (
            _sagas(
                """return digest(f'{{"definition":{definition},"input":{text}}}')""",
                "return digest(definition)",
            ),
        ),
    ),
    Bug(
        "requests-not-looked-up",
        "The requests table is not consulted: who asks again gets another saga.",
        (
            Swap(
                "coordinator/adapters/sqlite/group.py",
                """
                if first is not None:
                    return first if first.content == request.content else RequestIdTaken(request.request_id)
                """,
                """
                if first is not None and first.content != request.content:
                    return first if first.content == request.content else RequestIdTaken(request.request_id)
                """,
            ),
            Swap(
                "coordinator/adapters/sqlite/group.py",
                "INSERT INTO requests",
                "INSERT OR REPLACE INTO requests",
            ),
        ),
    ),
    Bug(
        "refused-before-it-is-looked-up",
        "A request that may start nothing is refused, also where its id has started a saga.",
        (_sagas("known = await self._index.requested(wanted.front_door, request_id)", "known = None"),),
        tests="tests/scenarios/test_waiting.py",
    ),
    Bug(
        "room-of-who-joins-kept",
        "A start that joins a saga counts as one more that is open.",
        (
            _pool(
                """
                if summary is None:
                    self._let_go(request.saga_id)
                """,
                """
                if summary is None:
                    self._let_go(request.saga_id)
                    self._open += isinstance(outcome, Request)
                """,
            ),
        ),
    ),
    Bug(
        "slots-of-who-joins-kept",
        "A start that joins a saga keeps the slots for its own first step.",
        (
            _driver(
                """
                if holder != request:
                    self._leave()
                """,
                """
                if holder != request:
                    if isinstance(holder, BaseException):
                        self._leave()
                """,
            ),
        ),
    ),
    Bug(
        "room-never-given-back",
        "A saga that has ended still counts as open.",
        (
            _pool(
                """
                self._let_go(saga_id)
                if isinstance(error, JournalUnavailable | MemoryError):
                """,
                """
                self._let_go(saga_id)
                self._open += 1
                if isinstance(error, JournalUnavailable | MemoryError):
                """,
            ),
        ),
    ),
    Bug(
        "definitions-known-by-name",
        "Definitions are known by their name: a saga begins by the first one of it.",
        (
            Swap(
                "coordinator/engine/archive.py",
                """
                if definition.digest not in self._definitions:
                    self._remember(definition.digest, definition)
                return self._definitions[definition.digest]
                """,
                """
                for known in self._definitions.values():
                    if known.name == definition.name:
                        return known
                self._remember(definition.digest, definition)
                return definition
                """,
            ),
        ),
    ),
)


_SLOTS: Final = (
    Bug(
        "slot-lost-with-its-call",
        "A call that is cut off never gives its slot back.",
        (
            _dispatcher(
                """
                self.free_slot(call.service)
                if isinstance(answer, asyncio.CancelledError):
                    return
                """,
                """
                if isinstance(answer, asyncio.CancelledError):
                    return
                self.free_slot(call.service)
                """,
            ),
        ),
    ),
    Bug(
        "slot-not-handed-on",
        "A slot that is granted to a saga that needs it no more is kept for good.",
        (_calls("self._dispatcher.free_slot(granted.service)", "return"),),
        seeds=(281,),
    ),
    Bug(
        "waiter-not-told",
        "Whoever waits longest for a slot is struck off, and not told.",
        (_dispatcher("waiting.popleft()()", "waiting.popleft()"),),
    ),
    Bug(
        "slots-kept-on-leaving",
        "A saga that ends keeps the slots that it had taken and not used.",
        (
            _calls(
                """
                # A slot that is granted to a saga that nobody drives would be lost for good.
                self.give_back_slots()
                """,
                "",
            ),
        ),
    ),
    Bug(
        "slots-of-the-unwanted-kept",
        "A slot is kept for a call that is not wanted any more.",
        (
            _driver(
                """
                self._calls.give_back_slots(wanted={command.key for command in commands})
                """,
                """
                pass
                """,
            ),
        ),
    ),
    Bug(
        "undo-beside-its-execute",
        "A step is undone while its Execute is still under way.",
        (
            _calls(
                """
                command.step not in self._sent
                and command.key not in self._slots
                """,
                """
                command.key not in self._slots
                """,
            ),
        ),
    ),
    Bug(
        "settled-call-not-cut-off",
        "The call of a step that a person has settled is waited for, and its answer believed.",
        (
            _driver(
                """
                self._abandon_settled()
                """,
                """
                pass
                """,
            ),
        ),
    ),
    Bug(
        "cut-off-call-never-over",
        "A call that is cut off still counts as under way: its step is not asked for again.",
        (_calls("sent = self._sent.pop(step)", "sent = self._sent[step]"),),
        shape="a step is completed by hand during its call, and undone later",
    ),
)


_NEWS: Final = (
    Bug(
        "latest-message-only",
        "Of the messages that come before a saga's driver wakes only the last is kept.",
        (
            _mailbox(
                "self._messages: deque[_Message] = deque()",
                "self._messages: deque[_Message] = deque(maxlen=1)",
            ),
        ),
    ),
    Bug(
        "waits-beside-a-message",
        "A message that came before the driver waits is not seen until the next one.",
        (
            _mailbox(
                """
                if self._messages:
                    self._wake()
                elif for_s is not None:
                """,
                """
                if for_s is not None:
                """,
            ),
        ),
    ),
    Bug(
        "first-alarm-kept",
        "While an alarm is set none for an earlier moment is.",
        (_mailbox("if self._alarm.when() - loop.time() <= for_s:", "if self._alarm.when() > loop.time():"),),
        tests="tests/unit/test_mailbox.py",
    ),
    Bug(
        "rung-and-still-set",
        "An alarm that has rung counts as set: there is no other one.",
        (
            _mailbox(
                """
                def _ring(self) -> None:
                    self._alarm = None
                """,
                """
                def _ring(self) -> None:
                """,
            ),
        ),
    ),
    Bug(
        "end-told-too-soon",
        "Who waits for the end of a saga is told of the next thing that happens to it.",
        (
            _feed(
                """
                if self._at_rest and summary.status.is_open:
                    return
                """,
                "",
            ),
        ),
        tests="tests/unit/test_feed.py",
    ),
)

BUGS: Final = (*_DURABILITY, *_TIME, *_RESTARTS, *_ADMISSION, *_SLOTS, *_NEWS)

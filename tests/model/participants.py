"""What one participant holds for one step, and how it answers.

A request once sent is on its way for good: it may come at any time, any number of times, in any order, or
never. So delay, duplicates, reordering and loss need no rules of their own.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.rules import Rules

EXECUTE, COMPENSATE, BAR = "Execute", "Compensate", "Compensate with an empty name"
YES, NO, BARRED, STALE = "succeeded", "refused", "BARRED", "STALE_TOKEN"


class Request(NamedTuple):
    """A call as it travels. Its number among the attempts is no part of it: nothing is decided by that."""

    operation: str
    token: int
    key: int
    receipt: str = ""


class Site(NamedTuple):
    """What a participant holds for one step, and the requests that may still come."""

    token: int = 0
    """The newest that it has seen."""
    applied: tuple[int, ...] = ()
    """The keys under which the effect was applied, one for each time."""
    refused: tuple[int, ...] = ()
    """The keys under which a refusal is stored."""
    undone: tuple[int, ...] = ()
    """The keys under which the effect was undone, one for each time."""
    is_barred: bool = False
    """Whether a Compensate found nothing to undo."""
    requests: frozenset[Request] = frozenset()

    @property
    def is_settled(self) -> bool:
        return self.is_barred or bool(self.undone)


def on_its_way(site: Site, request: Request, rules: Rules) -> Site:
    """*site* with *request* sent to it."""
    return _without_moot(site._replace(requests=site.requests | {request}), rules)


def performed(site: Site, request: Request, rules: Rules) -> Iterator[tuple[Site, str]]:
    """All that may come of *request* when it reaches *site*: what that holds then, and its answer."""
    if rules.participants_fence and request.token < site.token:
        yield site, STALE
        return
    seen = site._replace(token=max(site.token, request.token))
    ways = _execute if request.operation == EXECUTE else _compensate
    for after, answer in ways(seen, request, rules):
        yield _without_moot(after, rules), answer


def _execute(site: Site, request: Request, rules: Rules) -> Iterator[tuple[Site, str]]:
    key = request.key
    if key in site.refused:
        yield site, NO
    elif (site.undone and rules.undone_bars) or (site.is_barred and rules.nothing_undone_bars):
        yield site, BARRED
    elif key in site.applied and rules.success_is_stored and not site.undone:
        yield site, YES
    else:
        yield site._replace(applied=(*site.applied, key)), YES
        yield (site._replace(refused=(*site.refused, key)) if rules.refusal_is_stored else site), NO


def _compensate(site: Site, request: Request, rules: Rules) -> Iterator[tuple[Site, str]]:
    known = site.undone if rules.undo_is_known_by_step else request.key in site.undone
    if known or site.is_barred:
        yield site, YES
    elif request.operation == BAR or (not site.applied and rules.undo_looks_for_effect):
        yield site._replace(is_barred=True), YES
    else:
        yield site._replace(undone=(*site.undone, request.key)), YES
        yield site, NO  # not stored: a person may clear what stands in the way


def _without_moot(site: Site, rules: Rules) -> Site:
    """*site* without the requests that can change nothing there any more."""
    if site.is_settled and rules.undone_bars and rules.nothing_undone_bars and rules.undo_is_known_by_step:
        return site._replace(requests=frozenset())
    return site._replace(requests=frozenset(r for r in site.requests if not _is_moot(site, r, rules)))


def _is_moot(site: Site, request: Request, rules: Rules) -> bool:
    """Whether *request* would be turned away, or answered with what is stored and always will be."""
    if request.token < site.token:
        return rules.participants_fence
    if request.operation != EXECUTE or request.token > site.token:
        return False
    is_kept = request.key in site.applied and rules.success_is_stored and rules.undone_bars
    return is_kept or request.key in site.refused

"""Which step of a definition depends on which, worked out here anew and not asked of the coordinator."""

from collections.abc import Collection, Sequence
from graphlib import TopologicalSorter

from tests.checker.evidence import StepRule


class Dependence:
    """The graph of one definition, by names of steps."""

    def __init__(self, steps: Sequence[StepRule]) -> None:
        names = [rule.name for rule in steps]
        self.parents: dict[str, tuple[str, ...]] = {}
        """For each step, those that it depends on directly."""
        for place, rule in enumerate(steps):
            before = tuple(names[max(0, place - 1) : place])
            self.parents[rule.name] = before if rule.depends_on is None else rule.depends_on
        self.order = tuple(TopologicalSorter(self.parents).static_order())
        """Every step behind all that it depends on."""
        self.ancestors: dict[str, frozenset[str]] = {}
        """For each step, those that it depends on, directly or through others."""
        for name in self.order:
            parents = self.parents[name]
            self.ancestors[name] = frozenset(parents).union(*(self.ancestors[parent] for parent in parents))
        descendants: dict[str, set[str]] = {name: set() for name in names}
        for name, ancestors in self.ancestors.items():
            for ancestor in ancestors:
                descendants[ancestor].add(name)
        self.descendants = {name: frozenset(found) for name, found in descendants.items()}
        """For each step, those that depend on it, directly or through others."""

    def awaited(self, name: str, omitted: Collection[str]) -> list[str]:
        """The steps that *name* waits for; behind one that was *omitted*, also those that it waited for."""
        found = dict.fromkeys(self.parents[name])
        unseen = list(found)
        while unseen:
            step = unseen.pop()
            if step in omitted:
                unseen += [parent for parent in self.parents[step] if parent not in found]
                found.update(dict.fromkeys(self.parents[step]))
        return list(found)

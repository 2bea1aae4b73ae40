"""From the states of rows to stages: what runs in a shard, what between, what at the end.

With L rounds in the middle the stages are
    [whole 0]  sharded 0  [whole 1]  sharded 1 ... whole L+1
Sharded stage s recomputes what it needs of earlier ones: a microshard may meet any worker, so nothing but
combined values crosses. A partial is combined as late as its readers allow, so a loss that only the answer
needs doesn't run the forward pass once more.
"""

from collections.abc import Iterable, Sequence

from chainrule_server.engine.extract import extract, sources
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.loops.table import LOOPS
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.program import Stage
from chainrule_server.engine.states import Batched, Partial, Replicated, State

# A replicated value costlier than this is computed once, before the shards, not in each of them.
_ONCE_FLOPS = 20_000


def rounds(states: Sequence[State]) -> int:
    """How often shards have to meet before the last combining."""
    return max((s.level for s in states if not isinstance(s, Replicated)), default=0)


def build(flat: Flat, states: Sequence[State], whole_outputs: Iterable[int]) -> tuple[Stage, ...]:
    """The stages of a function whose batch may be cut.

    Args:
        flat: simplified.
        states: of `split.analyse`.
        whole_outputs: positions of outputs that the last, unsharded stage has to write itself.
    """
    return _Stages(flat, states, frozenset(whole_outputs)).build()


def unsplit(flat: Flat) -> tuple[Stage, ...]:
    """One stage that does everything."""
    f = flat.function
    keys = [output_key(n) for n in f.output_names]
    return (_whole_stage(extract(flat, f.outputs, keys, {}, "whole")),)


def key_of(row: int) -> str:
    """The name of a value between stages. No input may begin like this."""
    return f"~{row}"


def output_key(name: str) -> str:
    """The name of an output that an unsharded stage writes."""
    return f"~={name}"


class _Stages:
    """The state of one build."""

    def __init__(self, flat: Flat, states: Sequence[State], whole_outputs: frozenset[int]) -> None:
        self.flat = flat
        self.f = flat.function
        self.states = states
        self.last = rounds(states)
        self.whole_outputs = whole_outputs
        need = self._needed()
        # Partial -> the sharded stage that makes it.
        self.made_in = {
            row: max(s.level, need[row] - 1)
            for row, s in enumerate(states)
            if isinstance(s, Partial) and need[row] <= self.last + 1
        }
        self.known_at = self._known()
        self.crossing: set[int] = set()

    def build(self) -> tuple[Stage, ...]:
        sharded = []
        for s in range(self.last + 1):
            targets = [r for r, made in self.made_in.items() if made == s]
            if s == self.last:
                batched = {r for r in self.f.outputs if isinstance(self.states[r], Batched)}
                targets += sorted(batched)
            sharded.append(self._sharded(sorted(targets)))
        stages: list[Stage] = []
        for s in range(self.last + 1):
            before = sorted(r for r in self.crossing if self.known_at[r] == s)
            if before:
                stages.append(self._whole(before, [key_of(r) for r in before], s))
            part = sharded[s]
            if part is not None:
                stages.append(part)
        ends = [
            (row, output_key(name))
            for k, (row, name) in enumerate(zip(self.f.outputs, self.f.output_names, strict=True))
            if isinstance(self.states[row], Replicated) or k in self.whole_outputs
        ]
        if ends:
            stages.append(self._whole([r for r, _ in ends], [k for _, k in ends], self.last + 1))
        return tuple(stages)

    def _needed(self) -> list[int]:
        """For each row the round before which its replicated value must be known; beyond last + 1: never."""
        never = self.last + 2
        need = [never] * len(self.f)
        for row in self.f.outputs:
            need[row] = min(need[row], self.last + 1)
        for row in range(len(self.f) - 1, -1, -1):
            state = self.states[row]
            for i in sources(self.f, row):
                source = self.states[i]
                if isinstance(source, Batched):
                    continue
                if isinstance(state, Replicated):
                    need[i] = min(need[i], need[row])
                elif not (isinstance(state, Partial) and self._added(row)):
                    need[i] = min(need[i], state.level)
        return need

    def _added(self, row: int) -> bool:
        """Whether a partial row only adds partials up, inside the shard."""
        return all(isinstance(self.states[i], Partial) for i in sources(self.f, row))

    def _known(self) -> list[int]:
        """The unsharded stage by which a replicated row can be computed."""
        known = [0] * len(self.f)
        for row, state in enumerate(self.states):
            if isinstance(state, Replicated):
                known[row] = max(
                    (
                        self.made_in[i] + 1 if isinstance(self.states[i], Partial) else known[i]
                        for i in sources(self.f, row)
                    ),
                    default=0,
                )
        return known

    def _sharded(self, targets: list[int]) -> Stage | None:
        if not targets:
            return None
        stops: dict[int, str] = {}
        stack, seen = list(targets), set(targets)
        while stack:
            row = stack.pop()
            for i in sources(self.f, row):
                if self._crosses(i, row):
                    stops[i] = key_of(i)
                    if isinstance(self.states[i], Replicated):
                        self.crossing.add(i)
                elif i not in seen:
                    seen.add(i)
                    stack.append(i)
        part = extract(self.flat, targets, [key_of(r) for r in targets], stops, "sharded")
        combines, outers = [], []
        for r in targets:
            state = self.states[r]
            combines.append(state.how if isinstance(state, Partial) else "stack")
            outers.append((state.outer or 1) if isinstance(state, Batched) else 1)
        return Stage(part.function, True, tuple(combines), tuple(outers), part.bodies, part.debug)

    def _partial(self, row: int) -> bool:
        return isinstance(self.states[row], Partial)

    def _crosses(self, i: int, reader: int) -> bool:
        """Whether operand i comes from outside this sharded stage."""
        state = self.states[i]
        if isinstance(state, Batched) or self.f.ops[i] == "Input":
            return False
        if isinstance(state, Partial):
            return not (self._partial(reader) and self._added(reader))
        return self.known_at[i] > 0 or self._flops(i) > _ONCE_FLOPS

    def _flops(self, row: int) -> int:
        row = self.f.inputs[row][0] if self.f.ops[row] == "Item" else row
        op = self.f.ops[row]
        if op not in OPS:
            return _ONCE_FLOPS + 1 if op in LOOPS else 0
        avals = tuple(self.f.avals[i] for i in self.f.inputs[row])
        return OPS[op].cost(avals, self.f.avals[row], dict(self.f.attrs[row]))

    def _whole(self, targets: Sequence[int], keys: Sequence[str], stage: int) -> Stage:
        """Replicated rows from feeds, combined partials and what earlier unsharded stages left."""
        earlier = {r for r in self.crossing if self.known_at[r] < stage}
        partials = {r for r, made in self.made_in.items() if made < stage}
        stops = {r: key_of(r) for r in earlier | partials}
        return _whole_stage(extract(self.flat, targets, keys, stops, "whole"))


def _whole_stage(part: Flat) -> Stage:
    count = len(part.function.outputs)
    return Stage(part.function, False, ("same",) * count, (1,) * count, part.bodies, part.debug)

"""A program inside a worker: blocks of microshards folded by the tree, whole stages straight on the board."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.ir.avals import Aval, BatchDim
from chainrule_server.engine.executor import Instance, aligned_bytes
from chainrule_server.engine.extract import BATCH, OFFSET
from chainrule_server.engine.ops.table import Array
from chainrule_server.engine.plan import Plan
from chainrule_server.engine.program import BOARD, Place, Program, Stage
from chainrule_server.engine.tree import Fold

Regions = dict[int, memoryview]

# Bound instances kept a program: sizes (whole, ragged) x buffers of a fold x boards x the two state buffers.
_KEPT = 32


class LoadedProgram:
    """A program ready to run on regions of shared memory.

    Args:
        data: of `Program.encode`.
        progress: called now and then while it runs.
    """

    def __init__(self, data: bytes, progress: Callable[[], None] | None = None) -> None:
        self.program = Program.decode(data)
        self._progress = progress
        self._instances: OrderedDict[tuple[object, ...], Instance] = OrderedDict()
        self._folds: dict[int, Fold] = {}
        self._memory = aligned_bytes(0)
        self._places = {p.key: p.place for p in self.program.inputs}
        self._targets = {p.key: p.place for p in self.program.outputs if p.place.region != BOARD}

    def run_block(
        self, stage: int, n: int, regions: Regions, lo: int, hi: int, out: memoryview
    ) -> None:
        """Run microshards lo to hi-1: stacked outputs go to the board, folded partials to `out`."""
        layout = self.program.layout(n)
        partials = layout.partials(stage)
        part = self.program.stages[stage]
        fold = self._folds.setdefault(stage, Fold(partials.segments, partials.nbytes))
        fold.reset()
        for first, last in layout.microshards[lo:hi]:
            leaf = fold.leaf()
            instance = self._shard(stage, n, last - first, regions, leaf)
            self._feed(part, instance, n, first, last, regions)
            instance.run()
            self._stack(part, instance, n, first, last, regions)
            fold.push()
            if self._progress is not None:
                self._progress()
        if partials.nbytes:
            fold.finish(out)

    def run_whole(self, stage: int, n: int, regions: Regions) -> None:
        """Run an unsharded stage from the board and the state to the board and the state."""
        part = self.program.stages[stage]
        key = (stage, n, _addresses(regions))
        instance = self._kept(key)
        if instance is None:
            plan = part.plan(n)
            inputs = [
                np.zeros((), np.int64) if name in (OFFSET, BATCH) else self._at(name, n, regions)
                for name in part.inputs
            ]
            outputs = [self._out(name, n, regions) for name in part.outputs]
            instance = self._keep(key, plan, inputs, outputs)
        self._feed(part, instance, n, 0, n, regions, whole=True)
        instance.run()

    def forget(self, region: memoryview) -> None:
        """Let go of what is bound to this memory, so that it can be unmapped."""
        address = np.frombuffer(region, np.uint8).ctypes.data
        for key in tuple(self._instances):
            addresses = next(part for part in key if isinstance(part, tuple))
            if any(address == at for _, at in addresses):
                del self._instances[key]

    def _shard(self, stage: int, n: int, rows: int, regions: Regions, leaf: Array) -> Instance:
        """The instance for microshards of this many rows, its partial outputs lying in `leaf`."""
        key = (stage, n, rows, _addresses(regions), leaf.ctypes.data)
        found = self._kept(key)
        if found is not None:
            return found
        part = self.program.stages[stage]
        plan = part.plan(rows)
        # Instances that differ in their leaf alone run one at a time: they share the memory of their rows.
        twin = next(
            (
                kept
                for k, kept in self._instances.items()
                if k[:3] == key[:3] and len(k) == len(key)
            ),
            None,
        )
        inputs = []
        for i, (name, aval) in enumerate(zip(part.inputs, part.function.in_avals, strict=True)):
            if name in (OFFSET, BATCH):
                inputs.append(np.zeros((), np.int64))
            elif aval.is_batched:
                inputs.append(twin.inputs[i] if twin else _buffer(aval.concrete(rows)))
            else:
                inputs.append(self._at(name, n, regions))
        packed = iter(self.program.layout(n).partials(stage).segments)
        outputs = []
        for i, (how, aval) in enumerate(zip(part.combines, part.function.out_avals, strict=True)):
            local = aval.concrete(rows)
            if how in ("sum", "max"):
                segment = next(packed)
                flat = leaf[segment.offset : segment.offset + local.nbytes]
                outputs.append(flat.view(local.dtype.numpy).reshape(local.dims))
            else:
                outputs.append(twin.outputs[i] if twin else _buffer(local))
        return self._keep(key, plan, inputs, outputs)

    def _feed(
        self,
        part: Stage,
        instance: Instance,
        n: int,
        first: int,
        last: int,
        regions: Regions,
        whole: bool = False,
    ) -> None:
        """Copy this microshard's rows in: the same alignment for every row of the batch, so the same bits."""
        rows = zip(part.inputs, part.function.in_avals, instance.inputs, strict=True)
        for name, aval, target in rows:
            if name == OFFSET:
                target[...] = first
            elif name == BATCH:
                target[...] = n
            elif aval.is_batched and not whole:
                axis, k = _batch_axis(aval.shape)
                source = self._at(name, n, regions)
                index = (slice(None),) * axis + (slice(k * first, k * last),)
                np.copyto(target, source[index])

    def _stack(
        self, part: Stage, instance: Instance, n: int, first: int, last: int, regions: Regions
    ) -> None:
        """Put per-example outputs side by side on the board."""
        rows = zip(
            part.outputs,
            part.combines,
            part.outers,
            part.function.out_avals,
            instance.outputs,
            strict=True,
        )
        for name, how, outer, aval, value in rows:
            if how != "stack":
                continue
            axis, k = _batch_axis(aval.shape)
            inner = k // outer
            target = self._at(name, n, regions)
            before, after = target.shape[:axis], target.shape[axis + 1 :]
            split = target.reshape(*before, outer, n * inner, *after)
            index = (slice(None),) * (axis + 1) + (slice(inner * first, inner * last),)
            split[index] = value.reshape(*before, outer, (last - first) * inner, *after)

    def _at(self, key: str, n: int, regions: Regions) -> Array:
        """A value between stages or an input, where it lies."""
        place = self._places.get(key, Place())
        if place.region == BOARD:
            slot = self.program.layout(n).slots[key]
            return _view(regions[BOARD], slot.offset, slot.dtype, slot.shape)
        aval = next(p.aval for p in self.program.inputs if p.key == key).concrete(n)
        assert place.offset is not None
        return _view(regions[place.region], place.offset, aval.dtype.numpy, aval.dims)

    def _out(self, key: str, n: int, regions: Regions) -> Array:
        place = self._targets.get(key)
        if place is None:
            return self._at(key, n, regions)
        aval = next(p.aval for p in self.program.outputs if p.key == key).concrete(n)
        assert place.offset is not None
        return _view(regions[place.region], place.offset, aval.dtype.numpy, aval.dims)

    def _kept(self, key: tuple[object, ...]) -> Instance | None:
        found = self._instances.get(key)
        if found is not None:
            self._instances.move_to_end(key)
        return found

    def _keep(
        self, key: tuple[object, ...], plan: Plan, inputs: list[Array], outputs: list[Array]
    ) -> Instance:
        if plan.arena_bytes > self._memory.nbytes:
            # One arena serves all instances, since one runs at a time; those bound to the old one go.
            self._instances.clear()
            self._memory = aligned_bytes(plan.arena_bytes)
        instance = Instance(plan, inputs, outputs, self._progress, self._memory)
        self._instances[key] = instance
        if len(self._instances) > _KEPT:
            self._instances.popitem(last=False)
        return instance


def _buffer(aval: Aval) -> Array:
    """Memory for a value of one microshard, from a cache line on."""
    return aligned_bytes(aval.nbytes).view(aval.dtype.numpy).reshape(aval.dims)


def _view(region: memoryview, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    count = int(np.prod(shape, dtype=np.int64))
    if not count:
        return np.empty(shape, dtype)
    return np.frombuffer(region, dtype, count, offset).reshape(shape)


def _batch_axis(shape: tuple[int | BatchDim, ...]) -> tuple[int, int]:
    for axis, dim in enumerate(shape):
        if isinstance(dim, BatchDim):
            return axis, dim.k
    raise ValueError(f"{shape} has no batch axis")


def _addresses(regions: Regions) -> tuple[tuple[int, int], ...]:
    """Identity of the mapped memory: an instance is bound to addresses, not to numbers of regions."""
    return tuple(
        (number, np.frombuffer(view, np.uint8).ctypes.data)
        for number, view in sorted(regions.items())
    )

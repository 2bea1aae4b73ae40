"""A derivative in two parts: what needs no seed, once, and what is linear in the seeds, often.

    (x, s) -> (y, l(x, s))     becomes     forward: x -> (y, r)   and   linear: (r, s) -> l

The residuals r are the values that the linear part reads. Leaves and views are no residuals: they cost
nothing to make again, and an expanded value is larger than what it repeats. What a checkpoint computes again
(it hangs on a Barrier) is no residual either: not to keep it is what the checkpoint is for.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from chainrule.ir.builder import Builder
from chainrule_server.engine.flat import Copier, Flat, finish

_AGAIN = ("Constant", "Iota", "DimSize", "Expand", "Reshape", "Transpose")


class Parts(NamedTuple):
    """A function cut at its residuals.

    Attributes:
        forward: primals to values, then residuals.
        linear: residuals, then seeds to results.
        n_values: outputs of `forward` before the residuals.
    """

    forward: Flat
    linear: Flat
    n_values: int

    @property
    def n_residuals(self) -> int:
        """How many residuals there are."""
        return len(self.forward.function.outputs) - self.n_values


def cut(flat: Flat, n_primals: int, n_values: int) -> Parts:
    """The two parts of a vjp or jvp, or of both together.

    Args:
        flat: primals, then seeds to values, then results.
        n_primals: inputs before the seeds.
        n_values: outputs before the results; they depend on no seed.
    """
    f = flat.function
    results = f.outputs[n_values:]
    barriers = {row for row, op in enumerate(f.ops) if op == "Barrier"}
    moving = _moving(f.inputs, {*range(n_primals, f.n_inputs), *barriers})
    inside = _needed(f.inputs, results, lambda row: row in moving or f.ops[row] in _AGAIN)
    # A function has an output at least, so one that keeps nothing keeps its first input.
    residuals = sorted(inside.stopped) or ([] if n_values else [0])
    seeds = {row: f.input_names[row] for row in range(n_primals, f.n_inputs)}
    kept = {row: f"residual/{k}" for k, row in enumerate(residuals)}
    linear = _part(flat, kept | seeds, results, f.output_names[n_values:])
    primals = {row: f.input_names[row] for row in range(n_primals)}
    names = (*f.output_names[:n_values], *kept.values())
    forward = _part(flat, primals, (*f.outputs[:n_values], *residuals), names)
    return Parts(forward, linear, n_values)


def chosen(flat: Flat, results: Sequence[int]) -> Flat:
    """The function of some of the outputs, with the inputs alone that they need, in their order."""
    f = flat.function
    targets = [f.outputs[k] for k in results]
    needed = _needed(f.inputs, targets, lambda row: True)
    given = {row: f.input_names[row] for row in range(f.n_inputs) if row in needed.rows}
    return _part(flat, given, targets, [f.output_names[k] for k in results])


def _moving(inputs: Sequence[tuple[int, ...]], seeds: set[int]) -> set[int]:
    """Rows that depend on a seed, or are not to be kept."""
    moving = set(seeds)
    for row, operands in enumerate(inputs):
        if any(i in moving for i in operands):
            moving.add(row)
    return moving


class _Needed(NamedTuple):
    """Rows that some results need, and those where the search stopped."""

    rows: set[int]
    stopped: set[int]


def _needed(
    inputs: Sequence[tuple[int, ...]], results: Sequence[int], passes: Callable[[int], bool]
) -> _Needed:
    stack, found = list(results), _Needed(set(), set())
    while stack:
        row = stack.pop()
        if row in found.rows or row in found.stopped:
            continue
        if not passes(row):
            found.stopped.add(row)
            continue
        found.rows.add(row)
        stack.extend(inputs[row])
    return found


def _part(
    flat: Flat, given: Mapping[int, str], targets: Sequence[int], names: Sequence[str]
) -> Flat:
    """The function from the given rows, in their order, to the targets."""
    f, debug = flat.function, flat.debug
    b = Builder()
    rows = {row: b.input(name, f.avals[row]) for row, name in given.items()}
    needed = _needed(f.inputs, targets, lambda row: row not in rows)
    copier = Copier(b, flat)
    for row in sorted(needed.rows):
        b.label, b.line = debug.label(row) or "", debug.line(row) or ""
        rows[row] = copier.copy(row, rows)
    return finish(b, [rows[row] for row in targets], names, f.name)

"""The training loop: batches in an order that is a function of (seed, epoch), steps pipelined.

The place in the data goes with every step as the session's cursor and is kept by the server, so a fit
that was interrupted goes on at the next batch, also in another process.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from chainrule.errors import ErrorCode, GraphError, ShapeMismatch
from chainrule.history import Epoch, History
from chainrule.ir.trees import flatten, map_tree
from chainrule.lazy import load
from chainrule.pipeline import Pending
from chainrule.results import Evaluation, StepResult

Array = np.ndarray[Any, np.dtype[Any]]
Callback = Callable[[StepResult | Epoch], bool | None]

# Enough to hide the way to the server and back; more would only delay what callbacks see.
AHEAD = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fit stands: `row` rows of epoch number `epoch`, from 0, are done."""

    epoch: int = 0
    row: int = 0


class Trainee(Protocol):
    """What a fit needs of a session."""

    @property
    def place(self) -> Place:
        """Where the last operation left the data."""

    @property
    def seed(self) -> int:
        """Of the session."""

    def submit(self, *batch: Any, place: Place | None = None) -> Pending[StepResult]:
        """A step, pipelined; `place` is where the data stands after it."""

    def evaluate(self, *batch: Any) -> Evaluation:
        """The loss on other data, after all steps so far."""


def epoch_order(seed: int, epoch: int, n: int) -> Array:
    """The rows of one epoch: the permutation that Philox draws with key (seed, epoch)."""
    key = np.array([seed % 2**64, epoch], np.uint64)
    order: Array = np.random.Generator(np.random.Philox(key=key)).permutation(n)
    return order


def as_batch(data: Any) -> tuple[Any, ...]:
    """The arguments of the loss after the parameters: a tuple of trees of arrays.

    A single array or dict is one argument; a tuple or a list of several is itself.
    """
    parts = tuple(data) if isinstance(data, tuple | list) else (data,)
    return tuple(map_tree(np.asarray, part) for part in parts)


def rows_of(batch: tuple[Any, ...], what: str) -> int:
    """The number of examples, which every array of a batch has as its leading axis.

    Raises:
        GraphError: there is no array.
        ShapeMismatch: arrays disagree, or one has no axis.
    """
    names, leaves = flatten(batch, what)
    if not leaves:
        raise GraphError(f"{what} holds no array", code=ErrorCode.MISSING_FIELD, cure="pass (x, y)")
    lengths = {name: np.shape(leaf)[:1] for name, leaf in zip(names, leaves, strict=True)}
    first = lengths[names[0]]
    for name, length in lengths.items():
        if not length or length != first:
            told = f"{length[0]} rows" if length else "no axis at all"
            raise ShapeMismatch(
                f"{what}: {name} has {told}, {names[0]} has {(first or ('none',))[0]}",
                code=ErrorCode.BATCH_MISMATCH,
                cure="give every array the examples as its leading axis",
            )
    return int(first[0])


@dataclass(slots=True)
class _Meter:
    """The running mean of one epoch."""

    begin: float
    total: float = 0.0
    rows: int = 0

    def add(self, loss: float, rows: int) -> None:
        self.total += loss * rows
        self.rows += rows


def fit(
    session: Trainee,
    data: Any,
    *,
    epochs: int,
    batch_size: int,
    validation: Any = None,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
) -> History:
    """Trains to `epochs` epochs in total; see `Session.fit`."""
    arrays = as_batch(data)
    n = rows_of(arrays, "data")
    held_out = None if validation is None else as_batch(validation)
    if held_out is not None:
        rows_of(held_out, "validation")
    if batch_size < 1 or n == 0:
        raise GraphError(
            f"batch_size {batch_size} on {n} rows",
            code=ErrorCode.BAD_FIELD,
            cure="take at least one row",
        )
    run = _Run(session, arrays, n, epochs, batch_size, held_out, tuple(callbacks))
    with _bar(run.steps_left(), progress) as bar:
        run.go(bar)
    return run.history


@dataclass(slots=True)
class _Run:
    session: Trainee
    arrays: tuple[Any, ...]
    n: int
    epochs: int
    batch_size: int
    held_out: tuple[Any, ...] | None
    callbacks: tuple[Callback, ...]

    history: History = field(default_factory=History)
    stopped: bool = False

    def steps_left(self) -> int:
        place = self.session.place
        if place.epoch >= self.epochs:
            return 0
        per_epoch = -(-self.n // self.batch_size)
        rest = -(-(self.n - min(place.row, self.n)) // self.batch_size)
        return rest + per_epoch * (self.epochs - place.epoch - 1)

    def go(self, bar: Any) -> None:
        place = self.session.place
        if place.row >= self.n:  # the data has fewer rows than when the cursor was made
            place = Place(place.epoch + 1)
        while place.epoch < self.epochs and self._goes_on():
            meter = _Meter(time.perf_counter())
            ahead: deque[tuple[Pending[StepResult], int]] = deque()
            for batch, rows, after in self._batches(place):
                ahead.append((self.session.submit(*batch, place=after), rows))
                if len(ahead) >= AHEAD:
                    self._take(ahead, meter, bar)
                if not self._goes_on():
                    break
            while ahead:
                self._take(ahead, meter, bar)
            if self._goes_on():
                self._end_epoch(place.epoch + 1, meter, bar)
            place = Place(place.epoch + 1)

    def _goes_on(self) -> bool:
        return not self.stopped

    def _batches(self, place: Place) -> Iterator[tuple[tuple[Any, ...], int, Place]]:
        order = epoch_order(self.session.seed, place.epoch, self.n)
        for row in range(place.row, self.n, self.batch_size):
            rows = order[row : row + self.batch_size]
            end = row + len(rows)
            after = Place(place.epoch + 1) if end >= self.n else replace(place, row=end)
            yield map_tree(lambda leaf, rows=rows: leaf[rows], self.arrays), len(rows), after

    def _take(self, ahead: deque[tuple[Pending[StepResult], int]], meter: _Meter, bar: Any) -> None:
        answer, rows = ahead.popleft()
        result = answer.result()
        meter.add(result.loss, rows)
        self.history.steps.append(result.step)
        self.history.losses.append(result.loss)
        self.history.grad_norms.append(result.grad_norm)
        bar.update(1)
        bar.set_postfix_str(f"loss {result.loss:.4g}", refresh=False)
        self._tell(result)

    def _end_epoch(self, number: int, meter: _Meter, bar: Any) -> None:
        found: dict[str, float] = {}
        if self.held_out is not None:
            evaluation = self.session.evaluate(*self.held_out)
            found["loss"] = evaluation.loss
            names, leaves = flatten(evaluation.metrics, "metrics")
            for name, leaf in zip(names, leaves, strict=True):
                if np.ndim(leaf) == 0:
                    found[name.removeprefix("metrics").lstrip("/") or "metric"] = float(leaf)
            shown = ", ".join(f"{k} {v:.4g}" for k, v in found.items())
            bar.set_description_str(f"validation {shown}")
        seconds = time.perf_counter() - meter.begin
        mean = meter.total / max(meter.rows, 1)
        epoch = Epoch(number, self.history.steps[-1], mean, found, seconds)
        self.history.epochs.append(epoch)
        self._tell(epoch)

    def _tell(self, event: StepResult | Epoch) -> None:
        for callback in self.callbacks:
            if callback(event) is True:
                self.stopped = True


def _bar(total: int, shown: bool) -> Any:
    return load("tqdm.auto", "pip install tqdm").tqdm(
        total=total, unit="step", disable=not shown or total == 0, leave=True, dynamic_ncols=True
    )

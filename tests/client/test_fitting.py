"""The training loop, against a trainee of our own interface that answers at once."""

from itertools import chain
from typing import Any

import numpy as np
import pytest

from chainrule.errors import ShapeMismatch
from chainrule.fitting import Place, as_batch, epoch_order, fit, rows_of
from chainrule.history import Epoch
from chainrule.pipeline import Pending
from chainrule.results import Evaluation, StepResult
from chainrule.wire.records import Numerics, Resources


class Recorder:
    """Takes steps and remembers which rows came, and where the data stood after them."""

    def __init__(self, place: Place | None = None) -> None:
        self.place = place or Place()
        self.seed = 3
        self.batches: list[list[int]] = []

    def submit(self, *batch: Any, place: Place | None = None) -> Pending[StepResult]:
        self.batches.append(batch[0].tolist())
        self.place = place or self.place
        answer: Pending[StepResult] = Pending()
        answer.set_result(step_result(len(self.batches), float(len(batch[0]))))
        return answer

    def evaluate(self, *batch: Any) -> Evaluation:
        return Evaluation(0.5, {"accuracy": np.float64(0.75)}, 0, True, Resources(), ())


def step_result(step: int, loss: float) -> StepResult:
    return StepResult(
        loss, 1.0, {}, step, {}, True, False, Resources(), "", (), (), Numerics(), "process"
    )


def run(session: Recorder, n: int, **options: Any) -> Any:
    options = {"epochs": 2, "batch_size": 4, "progress": False} | options
    return fit(session, (np.arange(n), np.zeros(n)), **options)


def test_every_epoch_takes_every_row_once_in_its_own_order() -> None:
    session = Recorder()
    history = run(session, 10)
    first, second = list(chain(*session.batches[:3])), list(chain(*session.batches[3:]))
    assert [len(batch) for batch in session.batches] == [4, 4, 2, 4, 4, 2]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert first == epoch_order(3, 0, 10).tolist()
    assert history.steps == [1, 2, 3, 4, 5, 6]
    assert session.place == Place(2, 0)


def test_the_order_is_philox_of_seed_and_epoch() -> None:
    key = np.array([3, 1], np.uint64)
    expected = np.random.Generator(np.random.Philox(key=key)).permutation(10)
    np.testing.assert_array_equal(epoch_order(3, 1, 10), expected)


def test_an_interrupted_fit_goes_on_at_the_next_batch() -> None:
    whole, rest = Recorder(), Recorder(Place(0, 8))
    run(whole, 10)
    run(rest, 10)
    assert rest.batches == whole.batches[2:]


def test_a_finished_fit_has_nothing_to_do() -> None:
    session = Recorder(Place(2, 0))
    assert len(run(session, 10)) == 0
    assert session.batches == []


def test_the_loss_of_an_epoch_weighs_batches_by_their_rows() -> None:
    history = run(Recorder(), 10, epochs=1)
    assert history.epochs[0].loss == (4 * 4.0 + 4 * 4.0 + 2 * 2.0) / 10


def test_validation_and_callbacks_see_each_epoch() -> None:
    seen: list[Epoch] = []
    history = run(
        Recorder(),
        8,
        validation=(np.zeros(3), np.zeros(3)),
        callbacks=[lambda event: seen.append(event) if isinstance(event, Epoch) else None],
    )
    assert seen == history.epochs
    assert history.epochs[-1].validation == {"loss": 0.5, "accuracy": 0.75}


def test_a_callback_that_returns_true_ends_the_fit() -> None:
    session = Recorder()
    run(session, 100, callbacks=[lambda event: isinstance(event, Epoch)])
    assert session.place == Place(1, 0)


def test_arrays_of_different_lengths_are_named() -> None:
    with pytest.raises(ShapeMismatch, match=r"data/\(1\) has 3 rows, data/\(0\) has 4"):
        rows_of(as_batch((np.zeros(4), np.zeros(3))), "data")
    with pytest.raises(ShapeMismatch, match="no axis at all"):
        rows_of(as_batch((np.zeros(4), np.float64(1.0))), "data")


def test_data_may_be_a_tree() -> None:
    batch = as_batch({"x": np.zeros(2)})
    assert rows_of(batch, "data") == 2

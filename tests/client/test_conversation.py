"""Operations beside steps, on a private server: accumulated gradients, leaves that are set."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.conversation import shaped, tree_of
from chainrule.tracing import spec
from support.network import batch_of, golden, loss

RECORD = golden()
PARAMS = RECORD["params"]


def new(client: cr.Client, **settings: Any) -> cr.Session:
    return client.create_session(loss, PARAMS, **{"optimizer": cr.optim.adam(0.05)} | settings)


def parts_of(batch: tuple[Any, ...], *ends: int) -> list[tuple[Any, ...]]:
    begins = (0, *ends[:-1])
    return [tuple(a[i:j] for a in batch) for i, j in zip(begins, ends, strict=True)]


def test_one_batch_in_two_halves_is_a_step_to_the_bit(client: cr.Client) -> None:
    whole, halves = new(client, seed=3), new(client, seed=3)
    for k in range(3):
        step = whole.step(*batch_of(RECORD, k))
        first = halves.forward_backward(*batch_of(RECORD, k))
        assert (first.loss, first.grad_norm, first.step) == (step.loss, step.grad_norm, k)
        assert halves.next_step == k + 1
        second = halves.optim_step()
        assert (second.loss, second.grad_norm, second.step) == (step.loss, step.grad_norm, k + 1)
    for name, value in whole.params().items():
        assert value.tobytes() == halves.params()[name].tobytes()


def test_accumulated_batches_of_any_size_are_one_step_on_all_examples(client: cr.Client) -> None:
    x, y = batch_of(RECORD, 0)
    n = len(x)
    whole, parts = new(client), new(client)
    step = whole.step(x, y)
    for part in parts_of((x, y), 1, n // 2, n):
        parts.forward_backward(*part)
    update = parts.optim_step()
    assert update.loss == pytest.approx(step.loss, rel=1e-12)
    assert update.grad_norm == pytest.approx(step.grad_norm, rel=1e-12)
    for name, value in whole.params().items():
        np.testing.assert_allclose(parts.params()[name], value, rtol=1e-9)


def test_a_weight_counts_examples_so_often(client: cr.Client) -> None:
    twice, weighted = new(client), new(client)
    first, second = batch_of(RECORD, 0), batch_of(RECORD, 1)
    for batch in (first, second, second):
        twice.forward_backward(*batch)
    weighted.forward_backward(*first)
    weighted.forward_backward(*second, weight=2.0)
    assert weighted.optim_step().loss == pytest.approx(twice.optim_step().loss, rel=1e-12)


def test_discarded_gradients_are_gone_and_nothing_accumulated_is_no_update(
    client: cr.Client,
) -> None:
    session = new(client)
    session.forward_backward(*batch_of(RECORD, 0))
    with pytest.raises(cr.Incompatible, match="discard"):
        session.step(*batch_of(RECORD, 1))
    session.discard_gradients()
    with pytest.raises(cr.Incompatible, match="forward_backward"):
        session.optim_step()
    assert session.step(*batch_of(RECORD, 1)).step == 1


def test_what_state_gives_set_state_takes(client: cr.Client) -> None:
    session, other = new(client), new(client)
    for k in range(3):
        session.step(*batch_of(RECORD, k))
    state = session.state()
    other.step(*batch_of(RECORD, 0))
    other.set_state(params=state["params"], optimizer=state["optimizer"])
    assert other.state()["step"] == 1
    for name, value in state["params"].items():
        assert other.params()[name].tobytes() == value.tobytes()
    other.set_state(params={"b1": np.zeros_like(state["params"]["b1"])})
    assert not other.params()["b1"].any()
    with pytest.raises(cr.Incompatible):
        other.set_state(params={"c": np.zeros(3)})
    with pytest.raises(cr.ShapeMismatch):
        other.set_state(params={"b1": np.zeros(1)})


def test_leaves_take_the_structure_that_is_known_or_the_one_of_their_names() -> None:
    leaves = {"params/[0]": np.ones(1), "params/[1]": np.zeros(2)}
    like = [spec((1,)), spec((2,))]
    assert [a.shape for a in shaped(leaves, "params", like)] == [(1,), (2,)]
    assert [a.shape for a in tree_of(leaves, "params")] == [(1,), (2,)]

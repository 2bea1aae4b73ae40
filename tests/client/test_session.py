"""Training on a private server: steps, state, order, and what survives."""

import asyncio
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.network import batch_of, golden, loss, predict

RECORD = golden()
PARAMS = RECORD["params"]


def new(client: cr.Client, **settings: Any) -> cr.Session:
    return client.create_session(loss, PARAMS, **{"optimizer": cr.optim.sgd(0.1)} | settings)


def test_a_step_applies_the_gradient_once(client: cr.Client) -> None:
    session = new(client)
    x, y = batch_of(RECORD, 0)
    value, gradient = client.value_and_grad(loss, PARAMS, x, y)
    result = session.step(x, y)
    np.testing.assert_allclose(result.loss, value, rtol=1e-12)
    squares = {name: float(np.sum(g**2)) for name, g in gradient.items()}
    assert result.grad_norm == pytest.approx(np.sqrt(sum(squares.values())), rel=1e-12)
    assert result.grad_norms["W1"] == pytest.approx(np.sqrt(squares["W1"]), rel=1e-12)
    assert (result.step, result.finite, result.replayed) == (1, True, False)
    assert result.durability == "process"
    assert len(bytes.fromhex(result.receipt)) == 32
    for name, value in session.params().items():
        np.testing.assert_allclose(value, PARAMS[name] - 0.1 * gradient[name], rtol=1e-12)
    assert session.next_step == 2
    assert repr(result).startswith("StepResult(step=1, loss=1.2249")


def test_pipelined_steps_are_the_same_steps(client: cr.Client) -> None:
    one, ahead = new(client, seed=1), new(client, seed=1)
    batches = [batch_of(RECORD, k) for k in range(12)]
    expected = [one.step(*batch).loss for batch in batches]
    answers = [ahead.submit(*batch) for batch in batches]
    assert [answer.result(60).loss for answer in answers] == expected
    assert ahead.next_step == 13


def test_a_submitted_step_can_be_awaited(client: cr.Client) -> None:
    session = new(client)

    async def two() -> list[int]:
        answers = [session.submit(*batch_of(RECORD, k)) for k in range(2)]
        return [(await answer).step for answer in answers]

    assert asyncio.run(two()) == [1, 2]


def test_evaluate_and_predict_change_nothing(client: cr.Client) -> None:
    session = new(client)
    x, y = batch_of(RECORD, 0)
    session.step(x, y)
    params = session.params()
    evaluation = session.evaluate(x, y)
    assert evaluation.step == 1
    np.testing.assert_allclose(evaluation.loss, client.value(loss, params, x, y), rtol=1e-12)
    np.testing.assert_allclose(
        session.predict(predict, x), client.value(predict, params, x), rtol=1e-12
    )
    np.testing.assert_array_equal(session.params()["W1"], params["W1"])
    assert repr(evaluation).startswith("Evaluation(loss=")


def test_metrics_keep_their_structure_and_train_tells_steps_from_evaluation(
    client: cr.Client,
) -> None:
    def with_metrics(params: Any, x: Any, y: Any, train: bool) -> Any:
        value = loss(params, x, y)
        return value, {"twice": 2 * value, "training": np.mean(0 * y) + (1.0 if train else 0.0)}

    session = client.create_session(with_metrics, PARAMS, optimizer=cr.optim.sgd(0.1))
    x, y = batch_of(RECORD, 0)
    result = session.step(x, y)
    assert result.metrics["twice"] == pytest.approx(2 * result.loss)
    assert result.metrics["training"] == 1.0
    assert session.evaluate(x, y).metrics["training"] == 0.0


def test_buffers_are_state_that_is_not_trained(client: cr.Client) -> None:
    def averaged(params: Any, buffers: Any, x: Any, y: Any) -> Any:
        mean = 0.9 * buffers["mean"] + 0.1 * np.mean(x, axis=0)
        return loss(params, x, y), {"mean": mean}

    session = client.create_session(
        averaged, PARAMS, optimizer=cr.optim.sgd(0.1), buffers={"mean": np.zeros(3)}
    )
    x, y = batch_of(RECORD, 0)
    session.step(x, y)
    np.testing.assert_allclose(session.state()["buffers"]["mean"], 0.1 * x.mean(axis=0))


def test_frozen_parameters_stay(client: cr.Client) -> None:
    session = new(client, frozen=("W1", "b1"), optimizer=cr.optim.adam(0.1))
    session.step(*batch_of(RECORD, 0))
    after = session.params()
    np.testing.assert_array_equal(after["W1"], PARAMS["W1"])
    assert np.any(after["W2"] != PARAMS["W2"])


def test_the_whole_state_is_there_to_see(client: cr.Client) -> None:
    session = new(client, optimizer=cr.optim.adam(0.1))
    session.step(*batch_of(RECORD, 0))
    state = session.state()
    assert state["step"] == 1
    assert state["params"].keys() == PARAMS.keys()
    assert state["optimizer"]["mean"]["W1"].shape == (3, 8)


def test_another_client_takes_over_by_name_and_the_first_is_fenced(client: cr.Client) -> None:
    first = new(client, name="taken-over")
    x, y = batch_of(RECORD, 0)
    first.step(x, y)
    params = first.params()
    second = client.open_session("taken-over")
    assert (second.next_step, second.name, second.id) == (2, "taken-over", first.id)
    np.testing.assert_array_equal(second.params()["W1"], params["W1"])
    assert second.step(x, y).step == 2
    assert second.evaluate(x, y).step == 2
    np.testing.assert_allclose(
        second.predict(predict, x), client.value(predict, second.params(), x), rtol=1e-12
    )
    for _ in range(2):
        with pytest.raises(cr.Fenced):
            first.step(x, y)


def test_batches_of_another_form_are_traced_anew(client: cr.Client) -> None:
    session = client.create_session(
        lambda w, x: np.mean((x * w) ** 2), np.float64(2.0), optimizer=cr.optim.sgd(0.1)
    )
    assert session.step(np.ones(3)).loss == pytest.approx(4.0)
    assert session.step(np.ones((2, 5))).step == 2
    again = client.open_session(session.id)
    assert again.step(np.ones((7, 5))).step == 3
    with pytest.raises(cr.Incompatible, match="open the session with its function"):
        again.step(np.ones((2, 2, 2)))
    told = client.open_session(session.id, loss=lambda w, x: np.mean((x * w) ** 2))
    assert told.step(np.ones((2, 2, 2))).step == 4


def test_what_is_not_finite_is_refused_and_changes_nothing(client: cr.Client) -> None:
    session = new(client)
    x, y = batch_of(RECORD, 0)
    with pytest.raises(cr.NonFinite, match="nothing was applied"):
        session.step(x * np.nan, y)
    np.testing.assert_array_equal(session.params()["W1"], PARAMS["W1"])
    assert session.step(x, y).step == 1


def test_on_nonfinite_skip_counts_no_update(client: cr.Client) -> None:
    session = new(client, on_nonfinite="skip")
    x, y = batch_of(RECORD, 0)
    assert not session.step(x * np.nan, y).finite
    assert session.step(x, y).step == 1


def test_fit_goes_on_where_the_server_says(client: cr.Client) -> None:
    data = (RECORD["x"], RECORD["y"])
    whole = new(client, seed=5, optimizer=cr.optim.adam(0.01))
    history = whole.fit(data, epochs=3, batch_size=20, progress=False, validation=data)
    assert len(history) == 12
    assert history.epochs[-1].validation["loss"] < history.epochs[0].validation["loss"]

    parts = new(client, seed=5, optimizer=cr.optim.adam(0.01), name="in-parts")
    parts.fit(data, epochs=2, batch_size=20, progress=False)
    stopped = client.open_session("in-parts")
    seen: list[int] = []

    def stop(event: Any) -> bool:
        if isinstance(event, cr.StepResult):
            seen.append(event.step)
        return len(seen) == 1

    stopped.fit(data, epochs=3, batch_size=20, progress=False, callbacks=[stop])
    rest = client.open_session("in-parts")
    rest.fit(data, epochs=3, batch_size=20, progress=False)
    for name, value in rest.params().items():
        np.testing.assert_array_equal(value, whole.params()[name])
    assert len(rest.fit(data, epochs=3, batch_size=20, progress=False)) == 0


def test_a_closed_session_is_gone(client: cr.Client) -> None:
    session = new(client, name="closing")
    session.step(*batch_of(RECORD, 0))
    session.close()
    session.close()
    assert "closed" in repr(session)
    assert "closing" not in {s.name for s in client.sessions()}
    with pytest.raises(cr.NotFound):
        client.open_session("closing")

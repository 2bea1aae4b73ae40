"""Optimizers: trajectories equal formulas written out by hand, plain and through their two graphs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.ir import checker, trees
from chainrule.optim import Optimizer, trace_optimizer
from support.evaluator import evaluate
from support.traced import numbers

STEPS = 12
WRONG: Any = "fast"
Rule = Callable[[Any, Any, Any, int], Any]


def gradients(params: Any, step: int) -> Any:
    """Any fixed function of the parameters; several scales, so that every term matters."""
    return {
        "w": np.sin(params["w"] * 3) + params["w"] * 0.1 * (step % 3),
        "b": [params["b"][0] ** 3 - 0.2],
    }


def start(dtype: Any = np.float64) -> Any:
    return {"w": numbers(3, 2).astype(dtype), "b": [numbers(2).astype(dtype)]}


def added(params: Any, updates: Any) -> Any:
    return {"w": params["w"] + updates["w"], "b": [params["b"][0] + updates["b"][0]]}


def plain(optimizer: Optimizer) -> Any:
    """The trajectory of the NumPy functions themselves."""
    params = start()
    state = optimizer.init(params)
    for step in range(STEPS):
        updates, state = optimizer.update(gradients(params, step), state, params, step)
        params = added(params, updates)
    return params


def through_graphs(optimizer: Optimizer, dtype: Any = np.float64) -> Any:
    """The trajectory of the two graphs, as a server runs them: by names alone."""
    params = start(dtype)
    init, update = trace_optimizer(optimizer, params)
    checker.check(init.graph)
    checker.check(update.graph)
    names, leaves = trees.flatten(params, "params")
    state = evaluate(init.graph, dict(zip(names, leaves, strict=True)))
    for step in range(STEPS):
        feeds = dict(zip(*trees.flatten(params, "params"), strict=True)) | state
        feeds |= dict(zip(*trees.flatten(gradients(params, step), "grads"), strict=True))
        out = evaluate(update.graph, {**feeds, "step": np.array(step)})
        state = {n: v for n, v in out.items() if n.startswith("state/")}
        updates = [n for n in update.out_names if n.startswith("updates/")]
        params = added(params, trees.unflatten(updates, [out[n] for n in updates], "updates"))
    return params


def by_hand(rule: Rule) -> Any:
    """The trajectory of an in-place rule over every array alone."""
    params = start()
    memory: dict[str, Any] = {"w": {}, "b": {}}
    for step in range(STEPS):
        g = gradients(params, step)
        params = {
            "w": rule(params["w"], g["w"], memory["w"], step),
            "b": [rule(params["b"][0], g["b"][0], memory["b"], step)],
        }
    return params


def torch_sgd(
    lr: float, mu: float = 0, nesterov: bool = False, damp: float = 0, decay: float = 0
) -> Rule:
    """torch.optim.SGD, line by line."""

    def rule(p: Any, g: Any, memory: Any, step: int) -> Any:
        g = g + decay * p
        if mu:
            memory["buf"] = g if step == 0 else mu * memory["buf"] + (1 - damp) * g
            g = g + mu * memory["buf"] if nesterov else memory["buf"]
        return p - lr * g

    return rule


def torch_adam(lr: float, decay: float = 0, decoupled: bool = False, b1: float = 0.9) -> Rule:
    """torch.optim.Adam and AdamW, line by line."""
    b2, eps = 0.999, 1e-8

    def rule(p: Any, g: Any, memory: Any, step: int) -> Any:
        if decoupled:
            p = p * (1 - lr * decay)
        else:
            g = g + decay * p
        memory["m"] = memory.get("m", 0) + (g - memory.get("m", 0)) * (1 - b1)
        memory["v"] = memory.get("v", 0) * b2 + (1 - b2) * g * g
        first, second = 1 - b1 ** (step + 1), 1 - b2 ** (step + 1)
        denominator = np.sqrt(memory["v"]) / np.sqrt(second) + eps
        return p - lr / first * memory["m"] / denominator

    return rule


CASES: dict[str, tuple[Optimizer, Rule]] = {
    "sgd": (cr.optim.sgd(0.1), torch_sgd(0.1)),
    "sgd momentum": (cr.optim.sgd(0.1, momentum=0.9), torch_sgd(0.1, 0.9)),
    "sgd nesterov": (cr.optim.sgd(0.1, momentum=0.9, nesterov=True), torch_sgd(0.1, 0.9, True)),
    "sgd dampened": (cr.optim.sgd(0.1, 0.9, dampening=0.3), torch_sgd(0.1, 0.9, damp=0.3)),
    "sgd decay": (cr.optim.sgd(0.1, 0.5, weight_decay=0.2), torch_sgd(0.1, 0.5, decay=0.2)),
    "adam": (cr.optim.adam(0.05), torch_adam(0.05)),
    "adam b1": (cr.optim.adam(0.05, b1=0.5), torch_adam(0.05, b1=0.5)),
    "adam decay": (cr.optim.adam(0.05, weight_decay=0.1), torch_adam(0.05, 0.1)),
    "adamw": (cr.optim.adamw(0.05, weight_decay=0.1), torch_adam(0.05, 0.1, True)),
    "chain": (
        cr.optim.chain(cr.optim.add_weight_decay(0.2), cr.optim.sgd(0.1, 0.5)),
        torch_sgd(0.1, 0.5, decay=0.2),
    ),
    "scale": (cr.optim.chain(cr.optim.scale(0.5), cr.optim.sgd(0.1)), torch_sgd(0.05)),
    "clip_by_value": (
        cr.optim.chain(cr.optim.clip_by_value(0.4), cr.optim.sgd(0.1)),
        lambda p, g, memory, step: p - 0.1 * np.clip(g, -0.4, 0.4),
    ),
    "schedule": (
        cr.optim.sgd(cr.schedules.warmup_cosine(0.2, 3, 10)),
        lambda p, g, memory, step: p - cr.schedules.warmup_cosine(0.2, 3, 10)(step) * g,
    ),
    "scale_by_schedule": (
        cr.optim.chain(
            cr.optim.scale_by_schedule(cr.schedules.exponential(1.0, 0.9)), cr.optim.sgd(0.1)
        ),
        lambda p, g, memory, step: p - 0.1 * 0.9**step * g,
    ),
    "custom": (
        cr.optim.custom(
            lambda params: {"n": np.zeros(())},
            lambda g, s, p, step: (
                {"w": -s["n"] * g["w"], "b": [-0.1 * g["b"][0]]},
                {"n": s["n"] + 0.1},
            ),
        ),
        lambda p, g, memory, step: p - (step * 0.1 if p.ndim == 2 else 0.1) * g,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_plain_trajectories_equal_the_rule(name: str) -> None:
    optimizer, rule = CASES[name]
    _assert_equal(plain(optimizer), by_hand(rule))


@pytest.mark.parametrize("name", CASES)
def test_trajectories_of_the_graphs_equal_the_rule(name: str) -> None:
    optimizer, rule = CASES[name]
    _assert_equal(through_graphs(optimizer), by_hand(rule))


def _assert_equal(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a["w"], b["w"], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(a["b"][0], b["b"][0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [n for n in CASES if n != "custom"])
def test_float32_parameters_keep_float32_state_and_updates(name: str) -> None:
    optimizer, rule = CASES[name]
    init, update = trace_optimizer(optimizer, start(np.float32))
    outs = {**init.out_avals, **update.out_avals}
    assert {a.dtype.label for a in outs.values()} <= {"float32", "int64"}
    np.testing.assert_allclose(
        through_graphs(optimizer, np.float32)["w"], by_hand(rule)["w"], rtol=2e-3, atol=2e-3
    )


def test_the_global_norm_is_clipped_over_all_gradients_together() -> None:
    optimizer = cr.optim.clip_by_global_norm(1.0)
    g = gradients(start(), 0)
    norm = np.sqrt(np.sum(g["w"] ** 2) + np.sum(g["b"][0] ** 2))
    assert norm > 1
    clipped, _ = optimizer.update(g, {}, start(), 0)
    np.testing.assert_allclose(clipped["w"], g["w"] / (norm + 1e-6), rtol=1e-14)
    small = {"w": g["w"] * 1e-3, "b": [g["b"][0] * 1e-3]}
    np.testing.assert_array_equal(optimizer.update(small, {}, start(), 0)[0]["w"], small["w"])


def test_names_are_those_of_the_contract_with_sessions() -> None:
    init, update = trace_optimizer(cr.optim.adam(1e-3), {"w": cr.spec((3,), np.float32)})
    assert init.in_names == ("params/w",)
    assert init.out_names == ("state/mean/w", "state/square/w")
    assert update.in_names == ("grads/w", "state/mean/w", "state/square/w", "params/w", "step")
    assert update.out_names == ("updates/w", "state/mean/w", "state/square/w")
    assert str(update.in_avals["step"]) == "int64[]"


def test_an_optimizer_without_state_counts_its_updates() -> None:
    init, update = trace_optimizer(cr.optim.sgd(0.1), start())
    assert init.out_names == ("state/count",)
    assert update.out_names == ("updates/b/[0]", "updates/w", "state/count")


def test_equal_optimizers_have_equal_digests() -> None:
    one, two, three = (
        trace_optimizer(cr.optim.adam(rate), start())[1].digest for rate in (0.1, 0.1, 0.2)
    )
    assert one == two != three


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValueError, match="momentum > 0"):
        cr.optim.sgd(0.1, nesterov=True)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: cr.optim.sgd(-1.0), r"learning_rate is -1\.0; give a number from 0 up"),
        (lambda: cr.optim.sgd(float("nan")), "learning_rate is nan"),
        (lambda: cr.optim.sgd(WRONG), "learning_rate is 'fast'"),
        (lambda: cr.optim.adam(0.1, b1=1.0), r"b1 is 1\.0; give a number from 0 up, and below 1"),
        (lambda: cr.optim.adamw(0.1, weight_decay=float("inf")), "weight_decay is inf"),
    ],
)
def test_a_number_out_of_range_is_refused_where_it_is_given(make: Any, text: str) -> None:
    with pytest.raises(cr.GraphError, match=text) as caught:
        make()
    assert caught.value.code is cr.ErrorCode.ATTR_RANGE


def test_an_optimizer_prints_as_the_call_that_made_it() -> None:
    both = cr.optim.chain(cr.optim.clip_by_global_norm(1.0), cr.optim.adam(0.1, b1=0.8))
    assert repr(both) == "chain(clip_by_global_norm(1.0), adam(0.1, b1=0.8))"
    assert repr(cr.optim.sgd(cr.schedules.cosine(0.1, 9))) == "sgd(cosine)"

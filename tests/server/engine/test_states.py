"""When a value can be used as one that every shard knows."""

import pytest

from chainrule_server.engine.states import Batched, Partial, Replicated, State, available


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (Replicated(), 0),
        (Replicated(2), 2),
        (Batched(0, 1, 1), 1),
        (Partial("sum"), 1),
        (Partial("max", 2), 3),
    ],
)
def test_a_partial_value_waits_for_a_round(state: State, level: int) -> None:
    assert available(state) == level

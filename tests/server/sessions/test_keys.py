"""The key of a step is the one that docs/sessions.md gives."""

import pytest

from chainrule_server.sessions.keys import step_key


@pytest.mark.parametrize(
    ("seed", "step", "key"),
    [(0, 0, [3839590016, 2728021742]), (7, 3, [988054902, 725287174])],
)
def test_the_vectors_of_the_specification(seed: int, step: int, key: list[int]) -> None:
    assert step_key(seed, step).tolist() == key


def test_seeds_and_steps_have_keys_of_their_own() -> None:
    keys = {step_key(seed, step).tobytes() for seed in range(30) for step in range(30)}
    assert len(keys) == 900

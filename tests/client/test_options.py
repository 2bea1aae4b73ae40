"""Options of a call are checked where they are given, not where they are packed."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.options import Options, whole_number


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"seed": -1}, "seed is -1; give a whole number from 0 to"),
        ({"seed": 2**64}, "seed is 18446744073709551616; give"),
        ({"seed": 1.5}, r"seed is 1\.5; give"),
        ({"max_bytes": 0}, "max_bytes is 0; give a whole number from 1 to"),
        ({"timeout_s": 0}, "timeout_s is 0; give seconds above 0"),
        ({"timeout_s": float("nan")}, "timeout_s is nan; give"),
        ({"timeout_s": "5"}, "timeout_s is '5'; give"),
    ],
)
def test_what_cannot_be_sent_is_named(option: dict[str, Any], text: str) -> None:
    with pytest.raises(cr.GraphError, match=text) as caught:
        Options(**option)
    assert caught.value.field in option


def test_numpy_s_numbers_are_numbers() -> None:
    given: Any = {"timeout_s": np.float32(2.0), "seed": np.int64(3)}
    assert Options(**given).seed == 3
    assert whole_number(np.uint64(2**64 - 1), "seed") == 2**64 - 1

"""New sessions: what may be wrong with them."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.network import batch_of, golden, loss

RECORD = golden()
SGD = cr.optim.sgd(0.1)


def test_a_name_is_taken_once(client: cr.Client) -> None:
    client.create_session(loss, RECORD["params"], optimizer=SGD, name="only-one")
    with pytest.raises(cr.NameTaken):
        client.create_session(loss, RECORD["params"], optimizer=SGD, name="only-one")


def test_an_example_traces_the_loss_at_once(client: cr.Client) -> None:
    with pytest.raises(cr.TraceError):
        client.create_session(
            lambda p, x: float(np.sum(x)), np.zeros(2), optimizer=SGD, example=np.ones((4, 2))
        )
    session = client.create_session(
        loss, RECORD["params"], optimizer=SGD, example=batch_of(RECORD, 0), name="with-example"
    )
    reopened = client.open_session(session.id)
    assert reopened.step(*batch_of(RECORD, 0)).step == 1


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"durability": "forever"}, "durability 'forever'; choose one of memory, process, disk"),
        ({"on_nonfinite": "cry"}, "on_nonfinite 'cry'; choose one of error, skip, apply"),
        ({"frozen": ("W9",)}, "frozen names 'W9'.*name one of W1, W2, b1, b2"),
        ({"params": {}}, "params holds no array; give nested dicts"),
        ({"loss": 3}, "int is no function"),
        ({"seed": -1}, "seed is -1; give a whole number from 0"),
        ({"microshard": 0}, "microshard is 0; give a whole number from 1"),
        ({"optimizer": "adam"}, r"optimizer is 'adam', .*; pass cr\.optim\.adam\(1e-3\)"),
    ],
)
def test_a_wrong_setting_says_what_and_how_to_mend_it(
    client: cr.Client, settings: dict[str, Any], text: str
) -> None:
    arguments = {"loss": loss, "params": RECORD["params"], "optimizer": SGD} | settings
    with pytest.raises(cr.GraphError, match=text):
        client.create_session(arguments.pop("loss"), arguments.pop("params"), **arguments)


def test_every_durability_that_is_served_takes_steps(client: cr.Client) -> None:
    for durability in client.info().durabilities:
        session = client.create_session(
            loss, RECORD["params"], optimizer=SGD, durability=durability
        )
        assert session.step(*batch_of(RECORD, 0)).step == 1
        assert session.durability == durability

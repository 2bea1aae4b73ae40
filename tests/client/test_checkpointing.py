"""Checkpoints by name, from the client."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.network import batch_of, golden, loss

RECORD = golden()
PARAMS = RECORD["params"]


def new(client: cr.Client, **settings: Any) -> cr.Session:
    return client.create_session(loss, PARAMS, **{"optimizer": cr.optim.adam(0.05)} | settings)


def bits(session: cr.Session) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in session.params().items()}


def test_a_checkpoint_brings_everything_back(client: cr.Client) -> None:
    session = new(client, name="to-restore")
    for k in range(2):
        session.step(*batch_of(RECORD, k))
    saved = session.save("after-two")
    assert (saved.name, saved.step, saved.session) == ("after-two", 2, session.id)
    then = bits(session)
    ahead = [session.step(*batch_of(RECORD, k)).loss for k in range(2, 5)]
    session.restore("after-two")
    assert (session.next_step, bits(session)) == (3, then)
    assert [session.step(*batch_of(RECORD, k)).loss for k in range(2, 5)] == ahead
    again = client.restore("after-two")
    assert (again.id, again.next_step, bits(again)) == (session.id, 3, then)
    with pytest.raises(cr.Fenced):
        session.step(*batch_of(RECORD, 0))
    assert [again.step(*batch_of(RECORD, k)).loss for k in range(2, 5)] == ahead
    assert "after-two" in {c.name for c in client.checkpoints()}


def test_a_fit_goes_on_at_the_place_of_the_checkpoint(client: cr.Client) -> None:
    data = (RECORD["x"], RECORD["y"])
    session = new(client, seed=5)
    session.fit(data, epochs=1, batch_size=20, progress=False)
    session.save("one-epoch")
    first = session.fit(data, epochs=3, batch_size=20, progress=False)
    end = bits(session)
    session.restore("one-epoch")
    again = session.fit(data, epochs=3, batch_size=20, progress=False)
    assert (again.losses, bits(session)) == (first.losses, end)


def test_names_and_forms_are_checked_and_the_session_goes_on(client: cr.Client) -> None:
    session = new(client)
    saved = session.save("mine")
    assert session.save("mine").digest == saved.digest
    session.step(*batch_of(RECORD, 0))
    with pytest.raises(cr.NameTaken):
        session.save("mine")
    with pytest.raises(cr.NotFound):
        session.restore("nobodys")
    other = client.create_session(
        lambda w, x: np.mean((x * w) ** 2), np.ones(3), optimizer=cr.optim.sgd(0.1)
    )
    with pytest.raises(cr.Incompatible, match="params/W1"):
        other.restore("mine")
    assert other.step(np.ones((2, 3))).step == 1
    assert session.step(*batch_of(RECORD, 1)).step == 2


def test_durability_disk_says_so_and_steps_alike(client: cr.Client) -> None:
    disk, process = new(client, durability="disk"), new(client)
    assert "disk" in client.info().durabilities
    for k in range(3):
        result = disk.step(*batch_of(RECORD, k))
        assert (result.durability, result.loss) == (
            "disk",
            process.step(*batch_of(RECORD, k)).loss,
        )
    answers = [disk.submit(*batch_of(RECORD, k)) for k in range(4)]
    assert [answer.result(60).step for answer in answers] == [4, 5, 6, 7]

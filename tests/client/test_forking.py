"""Forks and the log, from the client."""

import pytest

import chainrule as cr
from support.network import batch_of, golden, loss

RECORD = golden()
PARAMS = RECORD["params"]


def bits(session: cr.Session) -> dict[str, bytes]:
    return {name: value.tobytes() for name, value in session.params().items()}


def test_a_fork_goes_on_by_itself(client: cr.Client) -> None:
    session = client.create_session(loss, PARAMS, optimizer=cr.optim.adam(0.05), seed=2)
    for k in range(2):
        session.step(*batch_of(RECORD, k))
    session.save("fork-here")
    then = bits(session)
    child = session.fork("forked")
    assert (child.name, child.next_step, bits(child)) == ("forked", 3, then)
    assert child.id != session.id
    ahead = [session.step(*batch_of(RECORD, k)).loss for k in range(2, 5)]
    assert bits(child) == then
    assert [child.step(*batch_of(RECORD, k)).loss for k in range(2, 5)] == ahead
    assert bits(child) == bits(session)
    back = session.fork(at="fork-here")
    assert (back.next_step, bits(back)) == (3, then)
    assert back.step(*batch_of(RECORD, 2)).loss == ahead[0]
    assert session.fork(at=2).next_step == 3
    with pytest.raises(cr.NotFound, match="not kept"):
        session.fork(at=1)
    with pytest.raises(cr.NameTaken):
        session.fork("forked")
    opened = client.open_session("forked")
    assert bits(opened) == bits(session)


def test_the_log_tells_what_was_applied(client: cr.Client) -> None:
    session = client.create_session(loss, PARAMS, optimizer=cr.optim.sgd(0.1))
    results = [session.step(*batch_of(RECORD, k)) for k in range(3)]
    session.forward_backward(*batch_of(RECORD, 3))
    session.optim_step()
    found = session.log()
    assert [e.method for e in found] == ["Step"] * 3 + ["ForwardBackward", "OptimStep"]
    assert [(e.loss, e.step, e.receipt) for e in found[:3]] == [
        (r.loss, r.step, r.receipt) for r in results
    ]
    assert [e.seq for e in session.log(3)] == [3, 4, 5]

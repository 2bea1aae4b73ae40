"""A stored reply is the reply, in every bit."""

import math
from dataclasses import fields

import numpy as np
import pytest

from chainrule_server.sessions.replies import decode, encode
from chainrule_server.sessions.types import Durability, Notice, OpReply, Receipt, Resources


@pytest.mark.parametrize("loss", [0.1, 1e-310, -0.0, math.inf, math.nan, None])
def test_a_reply_is_read_back(loss: float | None) -> None:
    reply = OpReply(
        seq=2**63,
        step=3,
        epoch=4,
        chain=b"c" * 32,
        loss=loss,
        grad_norm=1 / 3,
        grad_norms=(("params/W", 0.1), ("params/é", math.pi)),
        finite=False,
        metrics=(("metrics/a", np.array([[0.1, math.nan]])), ("metrics/b", np.array(True))),
        resources=Resources(0.1, 0.2, 1e12, True, 2**40, 3, 1),
        receipts=(Receipt("chain", b"r" * 32, "sha256"),),
        durability_reached=Durability.PROCESS,
        durable_seq=9,
        numerics_id=b"n" * 32,
        notices=(Notice("COUPLED", "text", "main", 3, "x", "f.py:1"),),
    )
    found = decode(encode(reply))
    assert found.replayed
    for field in fields(OpReply):
        if field.name not in ("metrics", "replayed", "loss"):
            assert getattr(found, field.name) == getattr(reply, field.name), field.name
    assert repr(found.loss) == repr(loss)
    for (name, array), (expected, value) in zip(found.metrics, reply.metrics, strict=True):
        assert name == expected
        assert array.tobytes() == value.tobytes()
        assert (array.dtype, array.shape) == (value.dtype, value.shape)

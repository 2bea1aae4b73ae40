"""A reply as the log keeps it: JSON for what is small, tensor objects for metrics. Exact in every bit.

I json bytes  json  then a metric:  I object bytes  object
"""

import json
import struct
from dataclasses import asdict
from typing import Any

from chainrule.ir.tensors import decode_tensor, encode_tensor
from chainrule_server.sessions.types import Durability, Notice, OpReply, Receipt, Resources

_LENGTH = struct.Struct("<I")


def encode(reply: OpReply) -> bytes:
    """The stored form."""
    head: dict[str, Any] = {
        "seq": reply.seq,
        "step": reply.step,
        "epoch": reply.epoch,
        "chain": reply.chain.hex(),
        "loss": reply.loss,
        "grad_norm": reply.grad_norm,
        "grad_norms": reply.grad_norms,
        "finite": reply.finite,
        "metrics": [name for name, _ in reply.metrics],
        "resources": asdict(reply.resources),
        "receipts": [[r.name, r.digest.hex(), r.scheme] for r in reply.receipts],
        "durability": reply.durability_reached,
        "durable_seq": reply.durable_seq,
        "numerics_id": reply.numerics_id.hex(),
        "notices": [asdict(notice) for notice in reply.notices],
        "microshard_rows": reply.microshard_rows,
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    parts = [_LENGTH.pack(len(text)), text]
    for _, array in reply.metrics:
        data = encode_tensor(array)
        parts += [_LENGTH.pack(len(data)), data]
    return b"".join(parts)


def decode(data: bytes) -> OpReply:
    """The reply of `encode`, marked as replayed."""
    (n,) = _LENGTH.unpack_from(data)
    head = json.loads(data[4 : 4 + n])
    arrays, at = [], 4 + n
    for _ in head["metrics"]:
        (n,) = _LENGTH.unpack_from(data, at)
        arrays.append(decode_tensor(data[at + 4 : at + 4 + n]))
        at += 4 + n
    return OpReply(
        seq=head["seq"],
        step=head["step"],
        epoch=head["epoch"],
        chain=bytes.fromhex(head["chain"]),
        replayed=True,
        loss=head["loss"],
        grad_norm=head["grad_norm"],
        grad_norms=tuple((name, value) for name, value in head["grad_norms"]),
        finite=head["finite"],
        metrics=tuple(zip(head["metrics"], arrays, strict=True)),
        resources=Resources(**head["resources"]),
        receipts=tuple(Receipt(n, bytes.fromhex(d), s) for n, d, s in head["receipts"]),
        durability_reached=Durability(head["durability"]),
        durable_seq=head["durable_seq"],
        numerics_id=bytes.fromhex(head["numerics_id"]),
        notices=tuple(Notice(**notice) for notice in head["notices"]),
        microshard_rows=head["microshard_rows"],
    )

"""One record of a session's log.

    frame:    I body bytes  Q seq  32s prev chain  body  I crc32 of all before
    body:     B kind  B method  H flags  Q epoch  16s request id  32s digest
              Q step  Q state version  sections
    section:  B tag  I bytes  data

Tags below 128 must be understood, others may be skipped: later versions add what they need without a new
format. Little-endian.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from chainrule.ir.operations import Method

FRAME = struct.Struct("<IQ32s")
CRC = struct.Struct("<I")
_FIXED = struct.Struct("<BBHQ16s32sQQ")
_SECTION = struct.Struct("<BI")
_CURSOR, _REPLY, _PENDING = 1, 2, 3
# Only a redo needs it, so older readers may skip it.
_BODY = 128
_GRADIENTS = struct.Struct("<Iddd")
# A cursor, a reply with its metrics, and room for what later sections hold.
MAX_BODY_BYTES = 64 << 20


class Kind(IntEnum):
    """What a record tells."""

    OPERATION = 1
    OPEN = 2
    BASE = 3


@dataclass(frozen=True, slots=True)
class Pending:
    """Gradients that have accumulated since the last update.

    Attributes:
        count: batches.
        unit: weight of the first one; the others count in units of it.
        total, loss: sums of weights, and of weight times loss.
    """

    count: int = 0
    unit: float = 0.0
    total: float = 0.0
    loss: float = 0.0


NO_GRADIENTS = Pending()


@dataclass(frozen=True, slots=True)
class Record:
    """An applied operation, a raised epoch or where the log begins (with the seq of what was before).

    Attributes:
        prev: the chain value before this record.
        digest: of the operation; zeros for what is none.
        step, state_version: after it.
        cursor: the client's own bytes.
        reply: `replies.encode` of the answer.
        pending: gradients that have accumulated, after it.
        body: what was asked, where a redo may need it (keeping.py).
    """

    kind: Kind
    seq: int
    prev: bytes
    method: Method
    epoch: int
    request_id: bytes
    digest: bytes
    step: int
    state_version: int
    cursor: bytes = b""
    reply: bytes = b""
    pending: Pending = NO_GRADIENTS
    body: bytes = b""

    def encode(self) -> bytes:
        """The whole frame."""
        body = _FIXED.pack(
            self.kind,
            self.method,
            0,
            self.epoch,
            self.request_id,
            self.digest,
            self.step,
            self.state_version,
        )
        p = self.pending
        gradients = _GRADIENTS.pack(p.count, p.unit, p.total, p.loss) if p.count else b""
        for tag, data in (
            (_CURSOR, self.cursor),
            (_REPLY, self.reply),
            (_PENDING, gradients),
            (_BODY, self.body),
        ):
            if data:
                body += _SECTION.pack(tag, len(data)) + data
        frame = FRAME.pack(len(body), self.seq, self.prev) + body
        return frame + CRC.pack(zlib.crc32(frame))


def frame_bytes(head: bytes | memoryview) -> int | None:
    """Length of the frame that begins here; None where the bytes can't begin one."""
    if len(head) < FRAME.size:
        return None
    n: int = FRAME.unpack_from(head)[0]
    return FRAME.size + n + CRC.size if _FIXED.size <= n <= MAX_BODY_BYTES else None


def decode_record(frame: bytes | memoryview) -> Record | None:
    """The record of one whole frame; None where it is damaged or holds what must be understood."""
    end = len(frame) - CRC.size
    if CRC.unpack_from(frame, end) != (zlib.crc32(frame[:end]),):
        return None
    try:
        return _decode(frame, end)
    except (struct.error, ValueError):
        return None


def _decode(frame: bytes | memoryview, end: int) -> Record | None:
    _, seq, prev = FRAME.unpack_from(frame)
    kind, method, _, epoch, request_id, digest, step, version = _FIXED.unpack_from(
        frame, FRAME.size
    )
    sections = {_CURSOR: b"", _REPLY: b"", _PENDING: b"", _BODY: b""}
    at = FRAME.size + _FIXED.size
    while at < end:
        tag, n = _SECTION.unpack_from(frame, at)
        at += _SECTION.size + n
        if tag in sections:
            sections[tag] = bytes(frame[at - n : at])
        elif tag < 128:
            return None
    return Record(
        Kind(kind),
        seq,
        prev,
        Method(method),
        epoch,
        request_id,
        digest,
        step,
        version,
        sections[_CURSOR],
        sections[_REPLY],
        Pending(*_GRADIENTS.unpack(sections[_PENDING])) if sections[_PENDING] else NO_GRADIENTS,
        sections[_BODY],
    )

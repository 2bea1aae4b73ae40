"""Resources, notices and the numerics record, and their messages."""

from collections.abc import Iterable
from dataclasses import fields

from chainrule.proto.v1 import report_pb2 as pb
from chainrule.wire.records import Notice, Numerics, Resources

_NUMERICS = tuple(f.name for f in fields(Numerics))
_RESOURCES = tuple(f.name for f in fields(Resources))


def numerics_to_proto(numerics: Numerics) -> pb.NumericsRecord:
    """The message of a numerics record."""
    return pb.NumericsRecord(**{name: getattr(numerics, name) for name in _NUMERICS})


def numerics_from_proto(message: pb.NumericsRecord) -> Numerics:
    """The numerics record of a message."""
    return Numerics(**{name: getattr(message, name) for name in _NUMERICS})


def resources_to_proto(resources: Resources) -> pb.Resources:
    """The message of what a call took."""
    return pb.Resources(**{name: getattr(resources, name) for name in _RESOURCES})


def resources_from_proto(message: pb.Resources) -> Resources:
    """What a call took."""
    return Resources(**{name: getattr(message, name) for name in _RESOURCES})


def notices_to_proto(notices: Iterable[Notice]) -> list[pb.Notice]:
    """Messages of notices."""
    return [
        pb.Notice(
            kind=n.kind,
            text=n.text,
            function=n.function,
            node=n.node,
            label=n.label,
            source_line=n.source_line,
        )
        for n in notices
    ]


def notices_from_proto(messages: Iterable[pb.Notice]) -> tuple[Notice, ...]:
    """Notices of messages."""
    return tuple(
        Notice(
            kind=m.kind,
            text=m.text,
            function=m.function,
            node=m.node if m.HasField("node") else None,
            label=m.label,
            source_line=m.source_line,
        )
        for m in messages
    )

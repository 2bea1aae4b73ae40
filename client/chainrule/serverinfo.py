"""GetInfo's answer as a value."""

from chainrule.ir.avals import DType
from chainrule.proto.v1 import server_pb2 as pb
from chainrule.results import ServerInfo, durability_name
from chainrule.wire.reports import numerics_from_proto


def info_from_proto(message: pb.GetInfoResponse) -> ServerInfo:
    """What a server is; dtypes of a newer one that this client doesn't know are left out."""
    known = {int(dtype): dtype.label for dtype in DType}
    limits = message.limits
    return ServerInfo(
        version=message.version,
        protocol=(message.protocol_min, message.protocol_max),
        primitives=tuple(message.primitives),
        functions={f.name: f.version for f in message.functions},
        dtypes=tuple(known[int(d)] for d in message.dtypes if int(d) in known),
        computations=tuple(message.computations),
        limits={field.name: getattr(limits, field.name) for field in limits.DESCRIPTOR.fields},
        durabilities=tuple(durability_name(int(d)) for d in message.durabilities),
        workers=message.workers,
        uptime_s=message.uptime_seconds,
        instance_id=message.instance_id.hex(),
        boot_id=message.boot_id.hex(),
        numerics=numerics_from_proto(message.numerics),
        private=message.private,
    )

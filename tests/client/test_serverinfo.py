"""GetInfo's answer."""

from chainrule.proto.v1 import server_pb2 as pb
from chainrule.serverinfo import info_from_proto


def test_unknown_dtypes_of_a_newer_server_are_left_out() -> None:
    message = pb.GetInfoResponse(version="2.0", workers=3, protocol_min=1, protocol_max=4)
    message.dtypes.extend([1, 99])  # type: ignore[list-item]  # a number that this client lacks
    message.durabilities.extend([1, 3])  # type: ignore[list-item]  # numbers are what crosses the wire
    message.limits.graph_nodes = 20_000
    info = info_from_proto(message)
    assert info.dtypes == ("float64",)
    assert info.durabilities == ("memory", "disk")
    assert info.protocol == (1, 4)
    assert info.limits["graph_nodes"] == 20_000

"""The standard services: health, and reflection in both of its versions."""

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from chainrule.calls import CALLS

_REFLECTION = "grpc.reflection.v1.ServerReflection"
SERVICES = tuple(sorted({call.service for call in CALLS.values()}))


class Health:
    """grpc.health.v1 of the whole server ("") and of each of its services, on any number of ports."""

    def __init__(self) -> None:
        self._servicer = health.HealthServicer()
        self.set_serving(False)

    def add_to(self, server: grpc.Server) -> None:
        """Serve it there."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def set_serving(self, serving: bool) -> None:
        """What checks and watches are told from now on."""
        kinds = health_pb2.HealthCheckResponse
        for name in ("", *SERVICES):
            self._servicer.set(name, kinds.SERVING if serving else kinds.NOT_SERVING)

    def drain(self) -> None:
        """NOT_SERVING for good: a later `set_serving` changes nothing."""
        self._servicer.enter_graceful_shutdown()


def add_reflection(server: grpc.Server) -> None:
    """Serve reflection as v1alpha, which most tools ask for, and as v1, which has the same bytes."""
    names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME, _REFLECTION)
    reflection.enable_server_reflection(names, server)
    servicer = reflection.ReflectionServicer(names)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_REFLECTION, {"ServerReflectionInfo": handler}),)
    )

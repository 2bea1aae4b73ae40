from chainrule.proto.v1 import report_pb2 as _report_pb2
from chainrule.proto.v1 import session_pb2 as _session_pb2
from chainrule.proto.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LibraryFunction(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ServerLimits(_message.Message):
    __slots__ = ("graph_bytes", "graph_nodes", "nesting", "rank", "dim", "message_bytes", "chunk_bytes", "inline_constant_bytes", "client_cursor_bytes", "deadline_seconds", "reserved_bytes", "object_bytes", "max_inflight")
    GRAPH_BYTES_FIELD_NUMBER: _ClassVar[int]
    GRAPH_NODES_FIELD_NUMBER: _ClassVar[int]
    NESTING_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    INLINE_CONSTANT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CURSOR_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    OBJECT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_INFLIGHT_FIELD_NUMBER: _ClassVar[int]
    graph_bytes: int
    graph_nodes: int
    nesting: int
    rank: int
    dim: int
    message_bytes: int
    chunk_bytes: int
    inline_constant_bytes: int
    client_cursor_bytes: int
    deadline_seconds: float
    reserved_bytes: int
    object_bytes: int
    max_inflight: int
    def __init__(self, graph_bytes: _Optional[int] = ..., graph_nodes: _Optional[int] = ..., nesting: _Optional[int] = ..., rank: _Optional[int] = ..., dim: _Optional[int] = ..., message_bytes: _Optional[int] = ..., chunk_bytes: _Optional[int] = ..., inline_constant_bytes: _Optional[int] = ..., client_cursor_bytes: _Optional[int] = ..., deadline_seconds: _Optional[float] = ..., reserved_bytes: _Optional[int] = ..., object_bytes: _Optional[int] = ..., max_inflight: _Optional[int] = ...) -> None: ...

class GetInfoResponse(_message.Message):
    __slots__ = ("version", "protocol_min", "protocol_max", "primitives_digest", "primitives", "functions", "dtypes", "limits", "durabilities", "workers", "uptime_seconds", "instance_id", "boot_id", "numerics", "computations", "private")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    PRIMITIVES_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRIMITIVES_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    DTYPES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DURABILITIES_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    COMPUTATIONS_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_FIELD_NUMBER: _ClassVar[int]
    version: str
    protocol_min: int
    protocol_max: int
    primitives_digest: bytes
    primitives: _containers.RepeatedScalarFieldContainer[str]
    functions: _containers.RepeatedCompositeFieldContainer[LibraryFunction]
    dtypes: _containers.RepeatedScalarFieldContainer[_tensor_pb2.DType]
    limits: ServerLimits
    durabilities: _containers.RepeatedScalarFieldContainer[_session_pb2.Durability]
    workers: int
    uptime_seconds: float
    instance_id: bytes
    boot_id: bytes
    numerics: _report_pb2.NumericsRecord
    computations: _containers.RepeatedScalarFieldContainer[str]
    private: bool
    def __init__(self, version: _Optional[str] = ..., protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., primitives_digest: _Optional[bytes] = ..., primitives: _Optional[_Iterable[str]] = ..., functions: _Optional[_Iterable[_Union[LibraryFunction, _Mapping]]] = ..., dtypes: _Optional[_Iterable[_Union[_tensor_pb2.DType, str]]] = ..., limits: _Optional[_Union[ServerLimits, _Mapping]] = ..., durabilities: _Optional[_Iterable[_Union[_session_pb2.Durability, str]]] = ..., workers: _Optional[int] = ..., uptime_seconds: _Optional[float] = ..., instance_id: _Optional[bytes] = ..., boot_id: _Optional[bytes] = ..., numerics: _Optional[_Union[_report_pb2.NumericsRecord, _Mapping]] = ..., computations: _Optional[_Iterable[str]] = ..., private: bool = ...) -> None: ...

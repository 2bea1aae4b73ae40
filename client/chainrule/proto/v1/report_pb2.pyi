from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class NumericsRecord(_message.Message):
    __slots__ = ("numerics_id", "microshard_rows", "row_tile", "kernel_provider", "engine_version", "numpy_version", "blas", "core_type")
    NUMERICS_ID_FIELD_NUMBER: _ClassVar[int]
    MICROSHARD_ROWS_FIELD_NUMBER: _ClassVar[int]
    ROW_TILE_FIELD_NUMBER: _ClassVar[int]
    KERNEL_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    NUMPY_VERSION_FIELD_NUMBER: _ClassVar[int]
    BLAS_FIELD_NUMBER: _ClassVar[int]
    CORE_TYPE_FIELD_NUMBER: _ClassVar[int]
    numerics_id: bytes
    microshard_rows: int
    row_tile: int
    kernel_provider: str
    engine_version: str
    numpy_version: str
    blas: str
    core_type: str
    def __init__(self, numerics_id: _Optional[bytes] = ..., microshard_rows: _Optional[int] = ..., row_tile: _Optional[int] = ..., kernel_provider: _Optional[str] = ..., engine_version: _Optional[str] = ..., numpy_version: _Optional[str] = ..., blas: _Optional[str] = ..., core_type: _Optional[str] = ...) -> None: ...

class Resources(_message.Message):
    __slots__ = ("wall_seconds", "cpu_seconds", "flops", "flops_is_bound", "peak_bytes", "workers_used", "blocks_redone")
    WALL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    FLOPS_IS_BOUND_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    WORKERS_USED_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_REDONE_FIELD_NUMBER: _ClassVar[int]
    wall_seconds: float
    cpu_seconds: float
    flops: float
    flops_is_bound: bool
    peak_bytes: int
    workers_used: int
    blocks_redone: int
    def __init__(self, wall_seconds: _Optional[float] = ..., cpu_seconds: _Optional[float] = ..., flops: _Optional[float] = ..., flops_is_bound: bool = ..., peak_bytes: _Optional[int] = ..., workers_used: _Optional[int] = ..., blocks_redone: _Optional[int] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("kind", "text", "function", "node", "label", "source_line")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LINE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    text: str
    function: str
    node: int
    label: str
    source_line: str
    def __init__(self, kind: _Optional[str] = ..., text: _Optional[str] = ..., function: _Optional[str] = ..., node: _Optional[int] = ..., label: _Optional[str] = ..., source_line: _Optional[str] = ...) -> None: ...

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Retry(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETRY_UNSPECIFIED: _ClassVar[Retry]
    RETRY_NEVER: _ClassVar[Retry]
    RETRY_FIX: _ClassVar[Retry]
    RETRY_SAME_BYTES: _ClassVar[Retry]
    RETRY_AFTER: _ClassVar[Retry]
    RETRY_REOPEN: _ClassVar[Retry]

class Applied(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPLIED_UNSPECIFIED: _ClassVar[Applied]
    APPLIED_NO: _ClassVar[Applied]
    APPLIED_YES: _ClassVar[Applied]
    APPLIED_UNKNOWN: _ClassVar[Applied]
RETRY_UNSPECIFIED: Retry
RETRY_NEVER: Retry
RETRY_FIX: Retry
RETRY_SAME_BYTES: Retry
RETRY_AFTER: Retry
RETRY_REOPEN: Retry
APPLIED_UNSPECIFIED: Applied
APPLIED_NO: Applied
APPLIED_YES: Applied
APPLIED_UNKNOWN: Applied

class ErrorDetail(_message.Message):
    __slots__ = ("reason", "function", "node", "label", "source_line", "field_path", "fact", "cure", "retry", "applied", "next_seq", "chain", "epoch", "missing_digests", "limit", "value", "failed_seq", "retry_after_ms", "request_id", "client_cursor")
    REASON_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LINE_FIELD_NUMBER: _ClassVar[int]
    FIELD_PATH_FIELD_NUMBER: _ClassVar[int]
    FACT_FIELD_NUMBER: _ClassVar[int]
    CURE_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQ_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MISSING_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FAILED_SEQ_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    reason: str
    function: str
    node: int
    label: str
    source_line: str
    field_path: str
    fact: str
    cure: str
    retry: Retry
    applied: Applied
    next_seq: int
    chain: bytes
    epoch: int
    missing_digests: _containers.RepeatedScalarFieldContainer[bytes]
    limit: float
    value: float
    failed_seq: int
    retry_after_ms: int
    request_id: bytes
    client_cursor: bytes
    def __init__(self, reason: _Optional[str] = ..., function: _Optional[str] = ..., node: _Optional[int] = ..., label: _Optional[str] = ..., source_line: _Optional[str] = ..., field_path: _Optional[str] = ..., fact: _Optional[str] = ..., cure: _Optional[str] = ..., retry: _Optional[_Union[Retry, str]] = ..., applied: _Optional[_Union[Applied, str]] = ..., next_seq: _Optional[int] = ..., chain: _Optional[bytes] = ..., epoch: _Optional[int] = ..., missing_digests: _Optional[_Iterable[bytes]] = ..., limit: _Optional[float] = ..., value: _Optional[float] = ..., failed_seq: _Optional[int] = ..., retry_after_ms: _Optional[int] = ..., request_id: _Optional[bytes] = ..., client_cursor: _Optional[bytes] = ...) -> None: ...

class RpcStatus(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class RpcErrorInfo(_message.Message):
    __slots__ = ("reason", "domain", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REASON_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    reason: str
    domain: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, reason: _Optional[str] = ..., domain: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RpcRetryInfo(_message.Message):
    __slots__ = ("retry_delay",)
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    retry_delay: _duration_pb2.Duration
    def __init__(self, retry_delay: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

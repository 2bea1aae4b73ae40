from chainrule.proto.v1 import graph_pb2 as _graph_pb2
from chainrule.proto.v1 import report_pb2 as _report_pb2
from chainrule.proto.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Durability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_UNSPECIFIED: _ClassVar[Durability]
    DURABILITY_MEMORY: _ClassVar[Durability]
    DURABILITY_PROCESS: _ClassVar[Durability]
    DURABILITY_DISK: _ClassVar[Durability]

class NonFinitePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NON_FINITE_POLICY_UNSPECIFIED: _ClassVar[NonFinitePolicy]
    NON_FINITE_POLICY_ERROR: _ClassVar[NonFinitePolicy]
    NON_FINITE_POLICY_SKIP: _ClassVar[NonFinitePolicy]
    NON_FINITE_POLICY_APPLY: _ClassVar[NonFinitePolicy]

class NumericsMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NUMERICS_MODE_UNSPECIFIED: _ClassVar[NumericsMode]
    NUMERICS_MODE_NATIVE: _ClassVar[NumericsMode]
    NUMERICS_MODE_PORTABLE: _ClassVar[NumericsMode]
    NUMERICS_MODE_PINNED: _ClassVar[NumericsMode]

class ReceiptMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECEIPT_MODE_UNSPECIFIED: _ClassVar[ReceiptMode]
    RECEIPT_MODE_NONE: _ClassVar[ReceiptMode]
    RECEIPT_MODE_CHAIN: _ClassVar[ReceiptMode]
    RECEIPT_MODE_FULL: _ClassVar[ReceiptMode]
DURABILITY_UNSPECIFIED: Durability
DURABILITY_MEMORY: Durability
DURABILITY_PROCESS: Durability
DURABILITY_DISK: Durability
NON_FINITE_POLICY_UNSPECIFIED: NonFinitePolicy
NON_FINITE_POLICY_ERROR: NonFinitePolicy
NON_FINITE_POLICY_SKIP: NonFinitePolicy
NON_FINITE_POLICY_APPLY: NonFinitePolicy
NUMERICS_MODE_UNSPECIFIED: NumericsMode
NUMERICS_MODE_NATIVE: NumericsMode
NUMERICS_MODE_PORTABLE: NumericsMode
NUMERICS_MODE_PINNED: NumericsMode
RECEIPT_MODE_UNSPECIFIED: ReceiptMode
RECEIPT_MODE_NONE: ReceiptMode
RECEIPT_MODE_CHAIN: ReceiptMode
RECEIPT_MODE_FULL: ReceiptMode

class OpHeader(_message.Message):
    __slots__ = ("session_id", "epoch", "seq", "prev", "request_id", "digest", "client_cursor", "receipts")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    PREV_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    epoch: int
    seq: int
    prev: bytes
    request_id: bytes
    digest: bytes
    client_cursor: bytes
    receipts: ReceiptMode
    def __init__(self, session_id: _Optional[bytes] = ..., epoch: _Optional[int] = ..., seq: _Optional[int] = ..., prev: _Optional[bytes] = ..., request_id: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., client_cursor: _Optional[bytes] = ..., receipts: _Optional[_Union[ReceiptMode, str]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("name", "digest", "scheme")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SCHEME_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: bytes
    scheme: str
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[bytes] = ..., scheme: _Optional[str] = ...) -> None: ...

class NamedNumber(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class OpReply(_message.Message):
    __slots__ = ("seq", "step", "epoch", "chain", "replayed", "loss", "grad_norm", "parameter_grad_norms", "finite", "metrics", "resources", "receipts", "durability_reached", "durable_seq", "numerics_id", "notices", "numerics")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_GRAD_NORMS_FIELD_NUMBER: _ClassVar[int]
    FINITE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_REACHED_FIELD_NUMBER: _ClassVar[int]
    DURABLE_SEQ_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_ID_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    seq: int
    step: int
    epoch: int
    chain: bytes
    replayed: bool
    loss: float
    grad_norm: float
    parameter_grad_norms: _containers.RepeatedCompositeFieldContainer[NamedNumber]
    finite: bool
    metrics: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    resources: _report_pb2.Resources
    receipts: _containers.RepeatedCompositeFieldContainer[Receipt]
    durability_reached: Durability
    durable_seq: int
    numerics_id: bytes
    notices: _containers.RepeatedCompositeFieldContainer[_report_pb2.Notice]
    numerics: _report_pb2.NumericsRecord
    def __init__(self, seq: _Optional[int] = ..., step: _Optional[int] = ..., epoch: _Optional[int] = ..., chain: _Optional[bytes] = ..., replayed: bool = ..., loss: _Optional[float] = ..., grad_norm: _Optional[float] = ..., parameter_grad_norms: _Optional[_Iterable[_Union[NamedNumber, _Mapping]]] = ..., finite: bool = ..., metrics: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., resources: _Optional[_Union[_report_pb2.Resources, _Mapping]] = ..., receipts: _Optional[_Iterable[_Union[Receipt, _Mapping]]] = ..., durability_reached: _Optional[_Union[Durability, str]] = ..., durable_seq: _Optional[int] = ..., numerics_id: _Optional[bytes] = ..., notices: _Optional[_Iterable[_Union[_report_pb2.Notice, _Mapping]]] = ..., numerics: _Optional[_Union[_report_pb2.NumericsRecord, _Mapping]] = ...) -> None: ...

class GraphRef(_message.Message):
    __slots__ = ("graph", "digest", "debug")
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEBUG_FIELD_NUMBER: _ClassVar[int]
    graph: _graph_pb2.Graph
    digest: bytes
    debug: _graph_pb2.Debug
    def __init__(self, graph: _Optional[_Union[_graph_pb2.Graph, _Mapping]] = ..., digest: _Optional[bytes] = ..., debug: _Optional[_Union[_graph_pb2.Debug, _Mapping]] = ...) -> None: ...

class OptimizerGraphs(_message.Message):
    __slots__ = ("init", "update")
    INIT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    init: GraphRef
    update: GraphRef
    def __init__(self, init: _Optional[_Union[GraphRef, _Mapping]] = ..., update: _Optional[_Union[GraphRef, _Mapping]] = ...) -> None: ...

class SessionHead(_message.Message):
    __slots__ = ("session_id", "name", "epoch", "next_seq", "step", "chain", "client_cursor", "state_digest", "max_inflight", "durability", "numerics_id", "durable_seq", "graph_digests", "closed", "non_finite", "seed", "microshard_rows", "frozen", "numerics", "created_at")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQ_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    STATE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    MAX_INFLIGHT_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_ID_FIELD_NUMBER: _ClassVar[int]
    DURABLE_SEQ_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    NON_FINITE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MICROSHARD_ROWS_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    name: str
    epoch: int
    next_seq: int
    step: int
    chain: bytes
    client_cursor: bytes
    state_digest: bytes
    max_inflight: int
    durability: Durability
    numerics_id: bytes
    durable_seq: int
    graph_digests: _containers.RepeatedScalarFieldContainer[bytes]
    closed: bool
    non_finite: NonFinitePolicy
    seed: int
    microshard_rows: int
    frozen: _containers.RepeatedScalarFieldContainer[str]
    numerics: _report_pb2.NumericsRecord
    created_at: float
    def __init__(self, session_id: _Optional[bytes] = ..., name: _Optional[str] = ..., epoch: _Optional[int] = ..., next_seq: _Optional[int] = ..., step: _Optional[int] = ..., chain: _Optional[bytes] = ..., client_cursor: _Optional[bytes] = ..., state_digest: _Optional[bytes] = ..., max_inflight: _Optional[int] = ..., durability: _Optional[_Union[Durability, str]] = ..., numerics_id: _Optional[bytes] = ..., durable_seq: _Optional[int] = ..., graph_digests: _Optional[_Iterable[bytes]] = ..., closed: bool = ..., non_finite: _Optional[_Union[NonFinitePolicy, str]] = ..., seed: _Optional[int] = ..., microshard_rows: _Optional[int] = ..., frozen: _Optional[_Iterable[str]] = ..., numerics: _Optional[_Union[_report_pb2.NumericsRecord, _Mapping]] = ..., created_at: _Optional[float] = ...) -> None: ...

class CreateRequest(_message.Message):
    __slots__ = ("session_id", "request_id", "graphs", "optimizer", "params", "buffers", "frozen", "seed", "microshard_rows", "durability", "numerics", "numerics_id", "non_finite", "name", "max_inflight")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    GRAPHS_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    BUFFERS_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MICROSHARD_ROWS_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_ID_FIELD_NUMBER: _ClassVar[int]
    NON_FINITE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MAX_INFLIGHT_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    request_id: bytes
    graphs: _containers.RepeatedCompositeFieldContainer[GraphRef]
    optimizer: OptimizerGraphs
    params: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    buffers: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    frozen: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    microshard_rows: int
    durability: Durability
    numerics: NumericsMode
    numerics_id: bytes
    non_finite: NonFinitePolicy
    name: str
    max_inflight: int
    def __init__(self, session_id: _Optional[bytes] = ..., request_id: _Optional[bytes] = ..., graphs: _Optional[_Iterable[_Union[GraphRef, _Mapping]]] = ..., optimizer: _Optional[_Union[OptimizerGraphs, _Mapping]] = ..., params: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., buffers: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., frozen: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., microshard_rows: _Optional[int] = ..., durability: _Optional[_Union[Durability, str]] = ..., numerics: _Optional[_Union[NumericsMode, str]] = ..., numerics_id: _Optional[bytes] = ..., non_finite: _Optional[_Union[NonFinitePolicy, str]] = ..., name: _Optional[str] = ..., max_inflight: _Optional[int] = ...) -> None: ...

class CreateResponse(_message.Message):
    __slots__ = ("head", "notices", "replayed")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    head: SessionHead
    notices: _containers.RepeatedCompositeFieldContainer[_report_pb2.Notice]
    replayed: bool
    def __init__(self, head: _Optional[_Union[SessionHead, _Mapping]] = ..., notices: _Optional[_Iterable[_Union[_report_pb2.Notice, _Mapping]]] = ..., replayed: bool = ...) -> None: ...

class LastSeen(_message.Message):
    __slots__ = ("seq", "chain")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    seq: int
    chain: bytes
    def __init__(self, seq: _Optional[int] = ..., chain: _Optional[bytes] = ...) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ("session_id", "name", "request_id", "expected_epoch", "last_seen")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    name: str
    request_id: bytes
    expected_epoch: int
    last_seen: LastSeen
    def __init__(self, session_id: _Optional[bytes] = ..., name: _Optional[str] = ..., request_id: _Optional[bytes] = ..., expected_epoch: _Optional[int] = ..., last_seen: _Optional[_Union[LastSeen, _Mapping]] = ...) -> None: ...

class OpenResponse(_message.Message):
    __slots__ = ("head", "notices")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    head: SessionHead
    notices: _containers.RepeatedCompositeFieldContainer[_report_pb2.Notice]
    def __init__(self, head: _Optional[_Union[SessionHead, _Mapping]] = ..., notices: _Optional[_Iterable[_Union[_report_pb2.Notice, _Mapping]]] = ...) -> None: ...

class BatchRef(_message.Message):
    __slots__ = ("dataset_digest", "rows")
    DATASET_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    dataset_digest: bytes
    rows: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, dataset_digest: _Optional[bytes] = ..., rows: _Optional[_Iterable[int]] = ...) -> None: ...

class StepRequest(_message.Message):
    __slots__ = ("header", "graph_digest", "batch", "batch_ref", "weight")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    BATCH_REF_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    header: OpHeader
    graph_digest: bytes
    batch: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    batch_ref: BatchRef
    weight: float
    def __init__(self, header: _Optional[_Union[OpHeader, _Mapping]] = ..., graph_digest: _Optional[bytes] = ..., batch: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., batch_ref: _Optional[_Union[BatchRef, _Mapping]] = ..., weight: _Optional[float] = ...) -> None: ...

class StepResponse(_message.Message):
    __slots__ = ("reply",)
    REPLY_FIELD_NUMBER: _ClassVar[int]
    reply: OpReply
    def __init__(self, reply: _Optional[_Union[OpReply, _Mapping]] = ...) -> None: ...

class EvaluateRequest(_message.Message):
    __slots__ = ("session_id", "graph", "batch", "batch_ref", "examples", "seed", "after_seq")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    BATCH_REF_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    graph: GraphRef
    batch: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    batch_ref: BatchRef
    examples: int
    seed: int
    after_seq: int
    def __init__(self, session_id: _Optional[bytes] = ..., graph: _Optional[_Union[GraphRef, _Mapping]] = ..., batch: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., batch_ref: _Optional[_Union[BatchRef, _Mapping]] = ..., examples: _Optional[int] = ..., seed: _Optional[int] = ..., after_seq: _Optional[int] = ...) -> None: ...

class EvaluateResponse(_message.Message):
    __slots__ = ("outputs", "seq", "step", "finite", "resources", "notices", "numerics")
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    FINITE_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    seq: int
    step: int
    finite: bool
    resources: _report_pb2.Resources
    notices: _containers.RepeatedCompositeFieldContainer[_report_pb2.Notice]
    numerics: _report_pb2.NumericsRecord
    def __init__(self, outputs: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., seq: _Optional[int] = ..., step: _Optional[int] = ..., finite: bool = ..., resources: _Optional[_Union[_report_pb2.Resources, _Mapping]] = ..., notices: _Optional[_Iterable[_Union[_report_pb2.Notice, _Mapping]]] = ..., numerics: _Optional[_Union[_report_pb2.NumericsRecord, _Mapping]] = ...) -> None: ...

class GetStateRequest(_message.Message):
    __slots__ = ("session_id", "prefixes", "after_seq")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    after_seq: int
    def __init__(self, session_id: _Optional[bytes] = ..., prefixes: _Optional[_Iterable[str]] = ..., after_seq: _Optional[int] = ...) -> None: ...

class GetStateResponse(_message.Message):
    __slots__ = ("tensors", "head")
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    tensors: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    head: SessionHead
    def __init__(self, tensors: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., head: _Optional[_Union[SessionHead, _Mapping]] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("page_size", "page")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page: bytes
    def __init__(self, page_size: _Optional[int] = ..., page: _Optional[bytes] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("sessions", "next_page")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[SessionHead]
    next_page: bytes
    def __init__(self, sessions: _Optional[_Iterable[_Union[SessionHead, _Mapping]]] = ..., next_page: _Optional[bytes] = ...) -> None: ...

class CloseRequest(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: OpHeader
    def __init__(self, header: _Optional[_Union[OpHeader, _Mapping]] = ...) -> None: ...

class CloseResponse(_message.Message):
    __slots__ = ("reply",)
    REPLY_FIELD_NUMBER: _ClassVar[int]
    reply: OpReply
    def __init__(self, reply: _Optional[_Union[OpReply, _Mapping]] = ...) -> None: ...

class ForwardBackwardRequest(_message.Message):
    __slots__ = ("header", "graph_digest", "batch", "batch_ref", "weight")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    BATCH_REF_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    header: OpHeader
    graph_digest: bytes
    batch: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    batch_ref: BatchRef
    weight: float
    def __init__(self, header: _Optional[_Union[OpHeader, _Mapping]] = ..., graph_digest: _Optional[bytes] = ..., batch: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., batch_ref: _Optional[_Union[BatchRef, _Mapping]] = ..., weight: _Optional[float] = ...) -> None: ...

class ForwardBackwardResponse(_message.Message):
    __slots__ = ("reply",)
    REPLY_FIELD_NUMBER: _ClassVar[int]
    reply: OpReply
    def __init__(self, reply: _Optional[_Union[OpReply, _Mapping]] = ...) -> None: ...

class OptimStepRequest(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: OpHeader
    def __init__(self, header: _Optional[_Union[OpHeader, _Mapping]] = ...) -> None: ...

class OptimStepResponse(_message.Message):
    __slots__ = ("reply",)
    REPLY_FIELD_NUMBER: _ClassVar[int]
    reply: OpReply
    def __init__(self, reply: _Optional[_Union[OpReply, _Mapping]] = ...) -> None: ...

class DiscardGradientsRequest(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: OpHeader
    def __init__(self, header: _Optional[_Union[OpHeader, _Mapping]] = ...) -> None: ...

class DiscardGradientsResponse(_message.Message):
    __slots__ = ("reply",)
    REPLY_FIELD_NUMBER: _ClassVar[int]
    reply: OpReply
    def __init__(self, reply: _Optional[_Union[OpReply, _Mapping]] = ...) -> None: ...

class SetStateRequest(_message.Message):
    __slots__ = ("header", "tensors")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    header: OpHeader
    tensors: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    def __init__(self, header: _Optional[_Union[OpHeader, _Mapping]] = ..., tensors: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ...) -> None: ...

class SetStateResponse(_message.Message):
    __slots__ = ("reply",)
    REPLY_FIELD_NUMBER: _ClassVar[int]
    reply: OpReply
    def __init__(self, reply: _Optional[_Union[OpReply, _Mapping]] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("digest", "name", "session_id", "seq", "step", "client_cursor", "nbytes", "numerics_id", "created_at")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    NBYTES_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    name: str
    session_id: bytes
    seq: int
    step: int
    client_cursor: bytes
    nbytes: int
    numerics_id: bytes
    created_at: float
    def __init__(self, digest: _Optional[bytes] = ..., name: _Optional[str] = ..., session_id: _Optional[bytes] = ..., seq: _Optional[int] = ..., step: _Optional[int] = ..., client_cursor: _Optional[bytes] = ..., nbytes: _Optional[int] = ..., numerics_id: _Optional[bytes] = ..., created_at: _Optional[float] = ...) -> None: ...

class SaveRequest(_message.Message):
    __slots__ = ("header", "name")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    header: OpHeader
    name: str
    def __init__(self, header: _Optional[_Union[OpHeader, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class SaveResponse(_message.Message):
    __slots__ = ("reply", "checkpoint")
    REPLY_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    reply: OpReply
    checkpoint: Checkpoint
    def __init__(self, reply: _Optional[_Union[OpReply, _Mapping]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ...) -> None: ...

class RestoreRequest(_message.Message):
    __slots__ = ("header", "checkpoint_digest", "allow_drift")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DRIFT_FIELD_NUMBER: _ClassVar[int]
    header: OpHeader
    checkpoint_digest: bytes
    allow_drift: bool
    def __init__(self, header: _Optional[_Union[OpHeader, _Mapping]] = ..., checkpoint_digest: _Optional[bytes] = ..., allow_drift: bool = ...) -> None: ...

class RestoreResponse(_message.Message):
    __slots__ = ("reply", "checkpoint")
    REPLY_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    reply: OpReply
    checkpoint: Checkpoint
    def __init__(self, reply: _Optional[_Union[OpReply, _Mapping]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ...) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ("session_id", "name", "page_size", "page")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    name: str
    page_size: int
    page: str
    def __init__(self, session_id: _Optional[bytes] = ..., name: _Optional[str] = ..., page_size: _Optional[int] = ..., page: _Optional[str] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("checkpoints", "next_page")
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[Checkpoint]
    next_page: str
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[Checkpoint, _Mapping]]] = ..., next_page: _Optional[str] = ...) -> None: ...

class ForkRequest(_message.Message):
    __slots__ = ("request_id", "parent_id", "at_seq", "child_id", "name")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_ID_FIELD_NUMBER: _ClassVar[int]
    AT_SEQ_FIELD_NUMBER: _ClassVar[int]
    CHILD_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    parent_id: bytes
    at_seq: int
    child_id: bytes
    name: str
    def __init__(self, request_id: _Optional[bytes] = ..., parent_id: _Optional[bytes] = ..., at_seq: _Optional[int] = ..., child_id: _Optional[bytes] = ..., name: _Optional[str] = ...) -> None: ...

class ForkResponse(_message.Message):
    __slots__ = ("head", "replayed")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    head: SessionHead
    replayed: bool
    def __init__(self, head: _Optional[_Union[SessionHead, _Mapping]] = ..., replayed: bool = ...) -> None: ...

class GetLogRequest(_message.Message):
    __slots__ = ("session_id", "from_seq", "limit")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQ_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    from_seq: int
    limit: int
    def __init__(self, session_id: _Optional[bytes] = ..., from_seq: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class LogEntry(_message.Message):
    __slots__ = ("seq", "method", "epoch", "request_id", "digest", "client_cursor", "reply")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CLIENT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    seq: int
    method: str
    epoch: int
    request_id: bytes
    digest: bytes
    client_cursor: bytes
    reply: OpReply
    def __init__(self, seq: _Optional[int] = ..., method: _Optional[str] = ..., epoch: _Optional[int] = ..., request_id: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., client_cursor: _Optional[bytes] = ..., reply: _Optional[_Union[OpReply, _Mapping]] = ...) -> None: ...

class GetLogResponse(_message.Message):
    __slots__ = ("entries", "first_seq", "next_seq")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQ_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQ_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[LogEntry]
    first_seq: int
    next_seq: int
    def __init__(self, entries: _Optional[_Iterable[_Union[LogEntry, _Mapping]]] = ..., first_seq: _Optional[int] = ..., next_seq: _Optional[int] = ...) -> None: ...

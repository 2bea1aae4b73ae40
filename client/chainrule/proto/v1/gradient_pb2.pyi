from chainrule.proto.v1 import graph_pb2 as _graph_pb2
from chainrule.proto.v1 import report_pb2 as _report_pb2
from chainrule.proto.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Computation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPUTATION_UNSPECIFIED: _ClassVar[Computation]
    COMPUTATION_VALUE: _ClassVar[Computation]
    COMPUTATION_GRAD: _ClassVar[Computation]
    COMPUTATION_VJP: _ClassVar[Computation]
    COMPUTATION_JVP: _ClassVar[Computation]
    COMPUTATION_HVP: _ClassVar[Computation]
    COMPUTATION_JACOBIAN: _ClassVar[Computation]
    COMPUTATION_HESSIAN: _ClassVar[Computation]
    COMPUTATION_PER_EXAMPLE_GRAD: _ClassVar[Computation]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_AGREES: _ClassVar[Verdict]
    VERDICT_DIFFERS: _ClassVar[Verdict]
    VERDICT_UNCERTAIN: _ClassVar[Verdict]
    VERDICT_NOT_FINITE: _ClassVar[Verdict]
COMPUTATION_UNSPECIFIED: Computation
COMPUTATION_VALUE: Computation
COMPUTATION_GRAD: Computation
COMPUTATION_VJP: Computation
COMPUTATION_JVP: Computation
COMPUTATION_HVP: Computation
COMPUTATION_JACOBIAN: Computation
COMPUTATION_HESSIAN: Computation
COMPUTATION_PER_EXAMPLE_GRAD: Computation
VERDICT_UNSPECIFIED: Verdict
VERDICT_AGREES: Verdict
VERDICT_DIFFERS: Verdict
VERDICT_UNCERTAIN: Verdict
VERDICT_NOT_FINITE: Verdict

class ComputeWish(_message.Message):
    __slots__ = ("computation", "wrt", "outs", "directions", "lanes")
    COMPUTATION_FIELD_NUMBER: _ClassVar[int]
    WRT_FIELD_NUMBER: _ClassVar[int]
    OUTS_FIELD_NUMBER: _ClassVar[int]
    DIRECTIONS_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    computation: Computation
    wrt: _containers.RepeatedScalarFieldContainer[str]
    outs: _containers.RepeatedScalarFieldContainer[str]
    directions: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    lanes: int
    def __init__(self, computation: _Optional[_Union[Computation, str]] = ..., wrt: _Optional[_Iterable[str]] = ..., outs: _Optional[_Iterable[str]] = ..., directions: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., lanes: _Optional[int] = ...) -> None: ...

class ComputeLimits(_message.Message):
    __slots__ = ("max_bytes", "deadline_ms", "max_flops")
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_FLOPS_FIELD_NUMBER: _ClassVar[int]
    max_bytes: int
    deadline_ms: int
    max_flops: float
    def __init__(self, max_bytes: _Optional[int] = ..., deadline_ms: _Optional[int] = ..., max_flops: _Optional[float] = ...) -> None: ...

class LeaseWish(_message.Message):
    __slots__ = ("ttl_ms", "wrt", "outs")
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    WRT_FIELD_NUMBER: _ClassVar[int]
    OUTS_FIELD_NUMBER: _ClassVar[int]
    ttl_ms: int
    wrt: _containers.RepeatedScalarFieldContainer[str]
    outs: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ttl_ms: _Optional[int] = ..., wrt: _Optional[_Iterable[str]] = ..., outs: _Optional[_Iterable[str]] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("id", "ttl_ms", "bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    ttl_ms: int
    bytes: int
    def __init__(self, id: _Optional[bytes] = ..., ttl_ms: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class NumericsPin(_message.Message):
    __slots__ = ("numerics_id", "microshard_rows")
    NUMERICS_ID_FIELD_NUMBER: _ClassVar[int]
    MICROSHARD_ROWS_FIELD_NUMBER: _ClassVar[int]
    numerics_id: bytes
    microshard_rows: int
    def __init__(self, numerics_id: _Optional[bytes] = ..., microshard_rows: _Optional[int] = ...) -> None: ...

class RegisterRequest(_message.Message):
    __slots__ = ("graph", "debug")
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    DEBUG_FIELD_NUMBER: _ClassVar[int]
    graph: _graph_pb2.Graph
    debug: _graph_pb2.Debug
    def __init__(self, graph: _Optional[_Union[_graph_pb2.Graph, _Mapping]] = ..., debug: _Optional[_Union[_graph_pb2.Debug, _Mapping]] = ...) -> None: ...

class RegisterResponse(_message.Message):
    __slots__ = ("digest", "nodes")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    nodes: int
    def __init__(self, digest: _Optional[bytes] = ..., nodes: _Optional[int] = ...) -> None: ...

class ComputeRequest(_message.Message):
    __slots__ = ("graph", "graph_digest", "debug", "feeds", "wishes", "limits", "batch_arguments", "examples", "seed", "numerics", "lease")
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEBUG_FIELD_NUMBER: _ClassVar[int]
    FEEDS_FIELD_NUMBER: _ClassVar[int]
    WISHES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    BATCH_ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    graph: _graph_pb2.Graph
    graph_digest: bytes
    debug: _graph_pb2.Debug
    feeds: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    wishes: _containers.RepeatedCompositeFieldContainer[ComputeWish]
    limits: ComputeLimits
    batch_arguments: _containers.RepeatedScalarFieldContainer[int]
    examples: int
    seed: int
    numerics: NumericsPin
    lease: LeaseWish
    def __init__(self, graph: _Optional[_Union[_graph_pb2.Graph, _Mapping]] = ..., graph_digest: _Optional[bytes] = ..., debug: _Optional[_Union[_graph_pb2.Debug, _Mapping]] = ..., feeds: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., wishes: _Optional[_Iterable[_Union[ComputeWish, _Mapping]]] = ..., limits: _Optional[_Union[ComputeLimits, _Mapping]] = ..., batch_arguments: _Optional[_Iterable[int]] = ..., examples: _Optional[int] = ..., seed: _Optional[int] = ..., numerics: _Optional[_Union[NumericsPin, _Mapping]] = ..., lease: _Optional[_Union[LeaseWish, _Mapping]] = ...) -> None: ...

class ComputeResult(_message.Message):
    __slots__ = ("tensors",)
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    tensors: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    def __init__(self, tensors: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ...) -> None: ...

class ComputeResponse(_message.Message):
    __slots__ = ("results", "resources", "notices", "numerics", "lease", "graph_digest", "finite", "grad_norm")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    FINITE_FIELD_NUMBER: _ClassVar[int]
    GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ComputeResult]
    resources: _report_pb2.Resources
    notices: _containers.RepeatedCompositeFieldContainer[_report_pb2.Notice]
    numerics: _report_pb2.NumericsRecord
    lease: Lease
    graph_digest: bytes
    finite: bool
    grad_norm: float
    def __init__(self, results: _Optional[_Iterable[_Union[ComputeResult, _Mapping]]] = ..., resources: _Optional[_Union[_report_pb2.Resources, _Mapping]] = ..., notices: _Optional[_Iterable[_Union[_report_pb2.Notice, _Mapping]]] = ..., numerics: _Optional[_Union[_report_pb2.NumericsRecord, _Mapping]] = ..., lease: _Optional[_Union[Lease, _Mapping]] = ..., graph_digest: _Optional[bytes] = ..., finite: bool = ..., grad_norm: _Optional[float] = ...) -> None: ...

class EstimateRequest(_message.Message):
    __slots__ = ("graph", "graph_digest", "debug", "wishes", "examples", "numerics", "batch_arguments")
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEBUG_FIELD_NUMBER: _ClassVar[int]
    WISHES_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    BATCH_ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    graph: _graph_pb2.Graph
    graph_digest: bytes
    debug: _graph_pb2.Debug
    wishes: _containers.RepeatedCompositeFieldContainer[ComputeWish]
    examples: int
    numerics: NumericsPin
    batch_arguments: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, graph: _Optional[_Union[_graph_pb2.Graph, _Mapping]] = ..., graph_digest: _Optional[bytes] = ..., debug: _Optional[_Union[_graph_pb2.Debug, _Mapping]] = ..., wishes: _Optional[_Iterable[_Union[ComputeWish, _Mapping]]] = ..., examples: _Optional[int] = ..., numerics: _Optional[_Union[NumericsPin, _Mapping]] = ..., batch_arguments: _Optional[_Iterable[int]] = ...) -> None: ...

class NodeCost(_message.Message):
    __slots__ = ("function", "node", "op", "label", "source_line", "flops", "bytes")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LINE_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    function: str
    node: int
    op: str
    label: str
    source_line: str
    flops: float
    bytes: int
    def __init__(self, function: _Optional[str] = ..., node: _Optional[int] = ..., op: _Optional[str] = ..., label: _Optional[str] = ..., source_line: _Optional[str] = ..., flops: _Optional[float] = ..., bytes: _Optional[int] = ...) -> None: ...

class EstimateResponse(_message.Message):
    __slots__ = ("flops", "flops_is_bound", "peak_bytes", "wire_bytes", "seconds", "by_node", "notices", "numerics", "graph_digest")
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    FLOPS_IS_BOUND_FIELD_NUMBER: _ClassVar[int]
    PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    WIRE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    BY_NODE_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    flops: float
    flops_is_bound: bool
    peak_bytes: int
    wire_bytes: int
    seconds: float
    by_node: _containers.RepeatedCompositeFieldContainer[NodeCost]
    notices: _containers.RepeatedCompositeFieldContainer[_report_pb2.Notice]
    numerics: _report_pb2.NumericsRecord
    graph_digest: bytes
    def __init__(self, flops: _Optional[float] = ..., flops_is_bound: bool = ..., peak_bytes: _Optional[int] = ..., wire_bytes: _Optional[int] = ..., seconds: _Optional[float] = ..., by_node: _Optional[_Iterable[_Union[NodeCost, _Mapping]]] = ..., notices: _Optional[_Iterable[_Union[_report_pb2.Notice, _Mapping]]] = ..., numerics: _Optional[_Union[_report_pb2.NumericsRecord, _Mapping]] = ..., graph_digest: _Optional[bytes] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("graph", "graph_digest", "debug", "feeds", "wrt", "output", "examples", "seed", "max_elements", "batch_arguments", "limits")
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEBUG_FIELD_NUMBER: _ClassVar[int]
    FEEDS_FIELD_NUMBER: _ClassVar[int]
    WRT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MAX_ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    BATCH_ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    graph: _graph_pb2.Graph
    graph_digest: bytes
    debug: _graph_pb2.Debug
    feeds: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    wrt: _containers.RepeatedScalarFieldContainer[str]
    output: str
    examples: int
    seed: int
    max_elements: int
    batch_arguments: _containers.RepeatedScalarFieldContainer[int]
    limits: ComputeLimits
    def __init__(self, graph: _Optional[_Union[_graph_pb2.Graph, _Mapping]] = ..., graph_digest: _Optional[bytes] = ..., debug: _Optional[_Union[_graph_pb2.Debug, _Mapping]] = ..., feeds: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., wrt: _Optional[_Iterable[str]] = ..., output: _Optional[str] = ..., examples: _Optional[int] = ..., seed: _Optional[int] = ..., max_elements: _Optional[int] = ..., batch_arguments: _Optional[_Iterable[int]] = ..., limits: _Optional[_Union[ComputeLimits, _Mapping]] = ...) -> None: ...

class ExplainEdge(_message.Message):
    __slots__ = ("input", "rule", "local", "outgoing")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    OUTGOING_FIELD_NUMBER: _ClassVar[int]
    input: int
    rule: str
    local: _tensor_pb2.Tensor
    outgoing: _tensor_pb2.Tensor
    def __init__(self, input: _Optional[int] = ..., rule: _Optional[str] = ..., local: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., outgoing: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class ExplainNode(_message.Message):
    __slots__ = ("function", "node", "op", "label", "source_line", "aval", "value", "incoming", "edges")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LINE_FIELD_NUMBER: _ClassVar[int]
    AVAL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    INCOMING_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    function: str
    node: int
    op: str
    label: str
    source_line: str
    aval: str
    value: _tensor_pb2.Tensor
    incoming: _tensor_pb2.Tensor
    edges: _containers.RepeatedCompositeFieldContainer[ExplainEdge]
    def __init__(self, function: _Optional[str] = ..., node: _Optional[int] = ..., op: _Optional[str] = ..., label: _Optional[str] = ..., source_line: _Optional[str] = ..., aval: _Optional[str] = ..., value: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., incoming: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., edges: _Optional[_Iterable[_Union[ExplainEdge, _Mapping]]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("nodes", "text", "notices", "numerics", "graph_digest")
    NODES_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[ExplainNode]
    text: str
    notices: _containers.RepeatedCompositeFieldContainer[_report_pb2.Notice]
    numerics: _report_pb2.NumericsRecord
    graph_digest: bytes
    def __init__(self, nodes: _Optional[_Iterable[_Union[ExplainNode, _Mapping]]] = ..., text: _Optional[str] = ..., notices: _Optional[_Iterable[_Union[_report_pb2.Notice, _Mapping]]] = ..., numerics: _Optional[_Union[_report_pb2.NumericsRecord, _Mapping]] = ..., graph_digest: _Optional[bytes] = ...) -> None: ...

class DeriveRequest(_message.Message):
    __slots__ = ("lease_id", "wishes", "limits")
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    WISHES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    lease_id: bytes
    wishes: _containers.RepeatedCompositeFieldContainer[ComputeWish]
    limits: ComputeLimits
    def __init__(self, lease_id: _Optional[bytes] = ..., wishes: _Optional[_Iterable[_Union[ComputeWish, _Mapping]]] = ..., limits: _Optional[_Union[ComputeLimits, _Mapping]] = ...) -> None: ...

class DeriveResponse(_message.Message):
    __slots__ = ("results", "resources", "notices", "numerics", "lease", "finite")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    FINITE_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ComputeResult]
    resources: _report_pb2.Resources
    notices: _containers.RepeatedCompositeFieldContainer[_report_pb2.Notice]
    numerics: _report_pb2.NumericsRecord
    lease: Lease
    finite: bool
    def __init__(self, results: _Optional[_Iterable[_Union[ComputeResult, _Mapping]]] = ..., resources: _Optional[_Union[_report_pb2.Resources, _Mapping]] = ..., notices: _Optional[_Iterable[_Union[_report_pb2.Notice, _Mapping]]] = ..., numerics: _Optional[_Union[_report_pb2.NumericsRecord, _Mapping]] = ..., lease: _Optional[_Union[Lease, _Mapping]] = ..., finite: bool = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("lease_id",)
    LEASE_ID_FIELD_NUMBER: _ClassVar[int]
    lease_id: bytes
    def __init__(self, lease_id: _Optional[bytes] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("released",)
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    released: bool
    def __init__(self, released: bool = ...) -> None: ...

class VerifyRequest(_message.Message):
    __slots__ = ("graph", "graph_digest", "debug", "feeds", "wrt", "outs", "examples", "seed", "batch_arguments", "limits", "tolerance")
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEBUG_FIELD_NUMBER: _ClassVar[int]
    FEEDS_FIELD_NUMBER: _ClassVar[int]
    WRT_FIELD_NUMBER: _ClassVar[int]
    OUTS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    BATCH_ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    graph: _graph_pb2.Graph
    graph_digest: bytes
    debug: _graph_pb2.Debug
    feeds: _containers.RepeatedCompositeFieldContainer[_tensor_pb2.NamedTensor]
    wrt: _containers.RepeatedScalarFieldContainer[str]
    outs: _containers.RepeatedScalarFieldContainer[str]
    examples: int
    seed: int
    batch_arguments: _containers.RepeatedScalarFieldContainer[int]
    limits: ComputeLimits
    tolerance: float
    def __init__(self, graph: _Optional[_Union[_graph_pb2.Graph, _Mapping]] = ..., graph_digest: _Optional[bytes] = ..., debug: _Optional[_Union[_graph_pb2.Debug, _Mapping]] = ..., feeds: _Optional[_Iterable[_Union[_tensor_pb2.NamedTensor, _Mapping]]] = ..., wrt: _Optional[_Iterable[str]] = ..., outs: _Optional[_Iterable[str]] = ..., examples: _Optional[int] = ..., seed: _Optional[int] = ..., batch_arguments: _Optional[_Iterable[int]] = ..., limits: _Optional[_Union[ComputeLimits, _Mapping]] = ..., tolerance: _Optional[float] = ...) -> None: ...

class VerifyCheck(_message.Message):
    __slots__ = ("derivative", "estimate", "uncertainty", "error", "verdict")
    DERIVATIVE_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    UNCERTAINTY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    derivative: float
    estimate: float
    uncertainty: float
    error: float
    verdict: Verdict
    def __init__(self, derivative: _Optional[float] = ..., estimate: _Optional[float] = ..., uncertainty: _Optional[float] = ..., error: _Optional[float] = ..., verdict: _Optional[_Union[Verdict, str]] = ...) -> None: ...

class VerifyLeaf(_message.Message):
    __slots__ = ("name", "aval", "finite", "check")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AVAL_FIELD_NUMBER: _ClassVar[int]
    FINITE_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    name: str
    aval: str
    finite: bool
    check: VerifyCheck
    def __init__(self, name: _Optional[str] = ..., aval: _Optional[str] = ..., finite: bool = ..., check: _Optional[_Union[VerifyCheck, _Mapping]] = ...) -> None: ...

class VerifyNode(_message.Message):
    __slots__ = ("node", "op", "label", "source_line", "forward", "adjoint")
    NODE_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LINE_FIELD_NUMBER: _ClassVar[int]
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    ADJOINT_FIELD_NUMBER: _ClassVar[int]
    node: int
    op: str
    label: str
    source_line: str
    forward: VerifyCheck
    adjoint: VerifyCheck
    def __init__(self, node: _Optional[int] = ..., op: _Optional[str] = ..., label: _Optional[str] = ..., source_line: _Optional[str] = ..., forward: _Optional[_Union[VerifyCheck, _Mapping]] = ..., adjoint: _Optional[_Union[VerifyCheck, _Mapping]] = ...) -> None: ...

class VerifyResponse(_message.Message):
    __slots__ = ("ok", "leaves", "adjoint", "nodes", "value_finite", "evaluations", "resources", "notices", "numerics", "graph_digest")
    OK_FIELD_NUMBER: _ClassVar[int]
    LEAVES_FIELD_NUMBER: _ClassVar[int]
    ADJOINT_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    VALUE_FINITE_FIELD_NUMBER: _ClassVar[int]
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    NUMERICS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ok: bool
    leaves: _containers.RepeatedCompositeFieldContainer[VerifyLeaf]
    adjoint: VerifyCheck
    nodes: _containers.RepeatedCompositeFieldContainer[VerifyNode]
    value_finite: bool
    evaluations: int
    resources: _report_pb2.Resources
    notices: _containers.RepeatedCompositeFieldContainer[_report_pb2.Notice]
    numerics: _report_pb2.NumericsRecord
    graph_digest: bytes
    def __init__(self, ok: bool = ..., leaves: _Optional[_Iterable[_Union[VerifyLeaf, _Mapping]]] = ..., adjoint: _Optional[_Union[VerifyCheck, _Mapping]] = ..., nodes: _Optional[_Iterable[_Union[VerifyNode, _Mapping]]] = ..., value_finite: bool = ..., evaluations: _Optional[int] = ..., resources: _Optional[_Union[_report_pb2.Resources, _Mapping]] = ..., notices: _Optional[_Iterable[_Union[_report_pb2.Notice, _Mapping]]] = ..., numerics: _Optional[_Union[_report_pb2.NumericsRecord, _Mapping]] = ..., graph_digest: _Optional[bytes] = ...) -> None: ...

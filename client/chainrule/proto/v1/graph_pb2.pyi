from chainrule.proto.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Dims(_message.Message):
    __slots__ = ("values", "batch_axes")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    BATCH_AXES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    batch_axes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ..., batch_axes: _Optional[_Iterable[int]] = ...) -> None: ...

class Aval(_message.Message):
    __slots__ = ("dtype", "shape")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    dtype: _tensor_pb2.DType
    shape: Dims
    def __init__(self, dtype: _Optional[_Union[_tensor_pb2.DType, str]] = ..., shape: _Optional[_Union[Dims, _Mapping]] = ...) -> None: ...

class Attribute(_message.Message):
    __slots__ = ("name", "bool_value", "int_value", "float_value", "string_value", "bytes_value", "dtype_value", "dims_value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BOOL_VALUE_FIELD_NUMBER: _ClassVar[int]
    INT_VALUE_FIELD_NUMBER: _ClassVar[int]
    FLOAT_VALUE_FIELD_NUMBER: _ClassVar[int]
    STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
    BYTES_VALUE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_VALUE_FIELD_NUMBER: _ClassVar[int]
    DIMS_VALUE_FIELD_NUMBER: _ClassVar[int]
    name: int
    bool_value: bool
    int_value: int
    float_value: float
    string_value: int
    bytes_value: bytes
    dtype_value: _tensor_pb2.DType
    dims_value: Dims
    def __init__(self, name: _Optional[int] = ..., bool_value: bool = ..., int_value: _Optional[int] = ..., float_value: _Optional[float] = ..., string_value: _Optional[int] = ..., bytes_value: _Optional[bytes] = ..., dtype_value: _Optional[_Union[_tensor_pb2.DType, str]] = ..., dims_value: _Optional[_Union[Dims, _Mapping]] = ...) -> None: ...

class AttributeSet(_message.Message):
    __slots__ = ("attributes",)
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    def __init__(self, attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ...) -> None: ...

class Function(_message.Message):
    __slots__ = ("name", "ops", "arities", "inputs", "avals", "attribute_sets", "outputs", "output_names")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OPS_FIELD_NUMBER: _ClassVar[int]
    ARITIES_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    AVALS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_SETS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_NAMES_FIELD_NUMBER: _ClassVar[int]
    name: int
    ops: _containers.RepeatedScalarFieldContainer[int]
    arities: _containers.RepeatedScalarFieldContainer[int]
    inputs: _containers.RepeatedScalarFieldContainer[int]
    avals: _containers.RepeatedScalarFieldContainer[int]
    attribute_sets: _containers.RepeatedScalarFieldContainer[int]
    outputs: _containers.RepeatedScalarFieldContainer[int]
    output_names: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[int] = ..., ops: _Optional[_Iterable[int]] = ..., arities: _Optional[_Iterable[int]] = ..., inputs: _Optional[_Iterable[int]] = ..., avals: _Optional[_Iterable[int]] = ..., attribute_sets: _Optional[_Iterable[int]] = ..., outputs: _Optional[_Iterable[int]] = ..., output_names: _Optional[_Iterable[int]] = ...) -> None: ...

class Graph(_message.Message):
    __slots__ = ("format_version", "strings", "avals", "attribute_sets", "functions")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    STRINGS_FIELD_NUMBER: _ClassVar[int]
    AVALS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_SETS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    strings: _containers.RepeatedScalarFieldContainer[str]
    avals: _containers.RepeatedCompositeFieldContainer[Aval]
    attribute_sets: _containers.RepeatedCompositeFieldContainer[AttributeSet]
    functions: _containers.RepeatedCompositeFieldContainer[Function]
    def __init__(self, format_version: _Optional[int] = ..., strings: _Optional[_Iterable[str]] = ..., avals: _Optional[_Iterable[_Union[Aval, _Mapping]]] = ..., attribute_sets: _Optional[_Iterable[_Union[AttributeSet, _Mapping]]] = ..., functions: _Optional[_Iterable[_Union[Function, _Mapping]]] = ...) -> None: ...

class FunctionDebug(_message.Message):
    __slots__ = ("labels", "files", "lines")
    LABELS_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedScalarFieldContainer[int]
    files: _containers.RepeatedScalarFieldContainer[int]
    lines: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, labels: _Optional[_Iterable[int]] = ..., files: _Optional[_Iterable[int]] = ..., lines: _Optional[_Iterable[int]] = ...) -> None: ...

class Debug(_message.Message):
    __slots__ = ("strings", "functions")
    STRINGS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    strings: _containers.RepeatedScalarFieldContainer[str]
    functions: _containers.RepeatedCompositeFieldContainer[FunctionDebug]
    def __init__(self, strings: _Optional[_Iterable[str]] = ..., functions: _Optional[_Iterable[_Union[FunctionDebug, _Mapping]]] = ...) -> None: ...

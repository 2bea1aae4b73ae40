"""Arrays that go out: inside the answer while they are small and fit, as objects otherwise."""

from collections.abc import Iterable

from chainrule.calls import INLINE_TENSOR_BYTES
from chainrule.ir.tensors import Array, aval_of
from chainrule.proto.v1 import tensor_pb2 as pb
from chainrule.wire.tensor import object_to_proto, tensor_to_proto
from chainrule_server.storage.objects import ObjectStore

# Together in one answer; the rest of a message is for everything else.
_INLINE_TOTAL = 3 * INLINE_TENSOR_BYTES


class Outbox:
    """Decides for the arrays of one answer, in their order.

    Args:
        store: takes the large ones, with a lease, so that the caller can get them in chunks.
        tenant: whose objects they are.
    """

    def __init__(self, store: ObjectStore, tenant: str) -> None:
        self._store = store
        self._tenant = tenant
        self._left = _INLINE_TOTAL

    def tensor(self, array: Array) -> pb.Tensor:
        """The message of one array.

        Raises:
            Overloaded: there is no room for a large one (QUOTA, STORAGE_FULL).
        """
        if array.nbytes <= min(INLINE_TENSOR_BYTES, self._left):
            self._left -= array.nbytes
            return tensor_to_proto(array)
        return object_to_proto(aval_of(array), self._store.add(self._tenant, array))

    def named(self, arrays: Iterable[tuple[str, Array]]) -> list[pb.NamedTensor]:
        """Messages of named arrays."""
        return [pb.NamedTensor(name=name, tensor=self.tensor(a)) for name, a in arrays]

"""Objects: put in chunks, proven, found again, collected when nobody needs them."""

import errno
import hashlib
from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import ErrorCode, GraphError, NotFound, Overloaded
from chainrule.ir.tensors import Array, encode_tensor, tensor_digest
from chainrule_server.storage.disk import Disk, LinuxDisk
from chainrule_server.storage.objects import ObjectStore
from chainrule_server.storage.uploads import Chunk, Progress
from support.faulty_disk import FaultyDisk

UPLOAD = b"u" * 16
# What a small object takes of a quota.
BLOCK = 4096


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def store_at(
    path: Path, *, quota: int = 1 << 20, clock: Clock | None = None, disk: Disk | None = None
) -> ObjectStore:
    return ObjectStore(
        lambda kind, tenant: path / kind / tenant,
        disk or LinuxDisk(),
        quota_bytes=quota,
        lease_s=10.0,
        clock=clock or Clock(),
    )


def array(i: int, n: int = 100) -> Array:
    return np.random.default_rng(i).standard_normal(n)


def chunks(data: bytes, size: int, upload: bytes = UPLOAD) -> list[Chunk]:
    digest = hashlib.sha256(data).digest()
    starts = range(0, len(data), size)
    return [Chunk(upload, digest, len(data), at, data[at : at + size]) for at in starts]


def test_an_object_arrives_in_chunks_and_is_read_back(tmp_path: Path) -> None:
    store, value = store_at(tmp_path), array(0)
    data = encode_tensor(value)
    answers = [store.put("t", chunk) for chunk in chunks(data, 300)]
    assert answers == [Progress(300, False), Progress(600, False), Progress(len(data), True)]
    digest = tensor_digest(value)
    assert store.has("t", [digest, bytes(32)]) == (True, False)
    np.testing.assert_array_equal(store.array("t", digest), value)
    assert store.read("t", digest, 10, 50) == data[10:60]
    assert store.progress("t", UPLOAD) == Progress(len(data), True)


def test_chunks_may_come_twice_but_not_too_early(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    first, second, third = chunks(encode_tensor(array(0)), 300)
    with pytest.raises(GraphError) as info:
        store.put("t", second)
    assert info.value.code is ErrorCode.CHUNK_SEQUENCE
    assert info.value.facts["committed"] == 0
    store.put("t", first)
    assert store.put("t", first) == Progress(300, False)
    store.put("t", second)
    assert store.put("t", third).complete
    assert store.put("t", third).complete


def test_an_upload_goes_on_after_a_restart(tmp_path: Path) -> None:
    data = encode_tensor(array(0))
    parts = chunks(data, 300)
    store_at(tmp_path).put("t", parts[0])
    again = store_at(tmp_path)
    assert again.progress("t", UPLOAD) == Progress(300, False)
    assert [again.put("t", part).complete for part in parts[1:]] == [False, True]
    assert store_at(tmp_path).has("t", [parts[0].digest]) == (True,)


def test_other_bytes_than_the_digest_names_are_thrown_away(tmp_path: Path) -> None:
    store, data = store_at(tmp_path), encode_tensor(array(0))
    wrong = Chunk(UPLOAD, bytes(32), len(data), 0, data)
    with pytest.raises(GraphError) as info:
        store.put("t", wrong)
    assert info.value.code is ErrorCode.BAD_FIELD
    assert store.progress("t", UPLOAD) == Progress(0, False)
    assert list((tmp_path / "uploads" / "t").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"no tensor at all, but long enough", ErrorCode.BYTE_LENGTH),
        (encode_tensor(np.zeros(3)) + b"x", ErrorCode.BYTE_LENGTH),
        (encode_tensor(np.zeros(3, bool))[:-1] + b"\x02", ErrorCode.BAD_FIELD),
        (b"short", ErrorCode.BYTE_LENGTH),
    ],
)
def test_what_is_no_tensor_is_no_object(tmp_path: Path, data: bytes, code: ErrorCode) -> None:
    with pytest.raises(GraphError) as info:
        store_at(tmp_path).put("t", *chunks(data, 1000))
    assert info.value.code is code


def test_an_upload_id_belongs_to_one_object(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.put("t", chunks(encode_tensor(array(0)), 300)[0])
    with pytest.raises(GraphError) as info:
        store.put("t", chunks(encode_tensor(array(1)), 300)[0])
    assert info.value.field == "upload_id"


def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    digest = store.add("t", array(0))
    assert store.has("other", [digest]) == (False,)
    with pytest.raises(NotFound):
        store.read("other", digest, 0, 1)
    with pytest.raises(NotFound) as info:
        store.array("other", digest)
    assert info.value.code is ErrorCode.OBJECT_MISSING
    assert info.value.facts["missing"] == (digest,)


def test_the_longest_unused_object_makes_room_after_its_lease(tmp_path: Path) -> None:
    clock = Clock()
    store = store_at(tmp_path, quota=3 * BLOCK, clock=clock)
    digests = [store.add("t", array(i)) for i in range(3)]
    with pytest.raises(Overloaded) as info:
        store.add("t", array(3))
    assert info.value.code is ErrorCode.QUOTA
    clock.now = 11.0
    store.has("t", digests[:1])
    store.add("t", array(3))
    assert store.has("t", digests) == (True, False, True)


def test_what_a_session_holds_stays(tmp_path: Path) -> None:
    clock = Clock()
    store = store_at(tmp_path, quota=2 * BLOCK, clock=clock)
    held, free = store.add("t", array(0)), store.add("t", array(1))
    (tmp_path / "session").mkdir()
    store.hold("t", held, tmp_path / "session" / "object")
    clock.now = 11.0
    store.add("t", array(2))
    assert store.has("t", [held, free]) == (True, False)
    clock.now = 22.0
    (tmp_path / "session" / "object").unlink()
    store.has("t", [tensor_digest(array(2))])
    store.add("t", array(3))
    assert store.has("t", [held]) == (False,)


def test_an_array_in_use_survives_its_collection(tmp_path: Path) -> None:
    clock = Clock()
    store = store_at(tmp_path, quota=BLOCK, clock=clock)
    view = store.array("t", store.add("t", array(0)))
    clock.now = 11.0
    store.add("t", array(1))
    np.testing.assert_array_equal(view, array(0))


def test_uploads_count_with_the_size_they_declare_and_expire(tmp_path: Path) -> None:
    clock = Clock()
    data = encode_tensor(array(0))
    store = store_at(tmp_path, quota=2 * BLOCK - 1, clock=clock)
    store.put("t", chunks(data, 10)[0])
    with pytest.raises(Overloaded):
        store.add("t", array(1))
    clock.now = 11.0
    store.add("t", array(1))
    assert store.progress("t", UPLOAD) == Progress(0, False)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_a_failing_disk_never_makes_half_an_object(tmp_path: Path, code: int) -> None:
    data = encode_tensor(array(0))
    k, failed = 0, "first"
    while failed:
        k += 1
        disk = FaultyDisk(code, short=True)
        store = store_at(tmp_path / str(k), disk=disk)
        disk.arm(k)
        for chunk in chunks(data, 300):
            try:
                store.put("t", chunk)
            except Exception as error:
                assert getattr(error, "code", None) in (
                    ErrorCode.STORAGE_FULL,
                    ErrorCode.UNAVAILABLE,
                    ErrorCode.OVERLOADED,
                )
                store.put("t", chunk)
        failed = disk.failed or ""
        disk.arm(0)
        assert store.read("t", tensor_digest(array(0)), 0, len(data)) == data

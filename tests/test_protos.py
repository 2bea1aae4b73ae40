"""The committed generated code is that of the .proto files, and the files keep buf's rules."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from golden.make_messages import FOLDER, MESSAGES

ROOT = Path(__file__).resolve().parents[1]
PROTOS = ROOT / "protos"
NAMES = sorted(p.stem for p in PROTOS.glob("chainrule/proto/v1/*.proto"))


def _buf(*args: str) -> bytes:
    buf = Path(sys.executable).with_name("buf")
    if not buf.exists():
        pytest.skip("buf is not installed; `pip install buf-bin`")
    run = subprocess.run([str(buf), *args], cwd=ROOT, capture_output=True, check=False)
    assert run.returncode == 0, (run.stdout + run.stderr).decode()
    return run.stdout


def _bare(file: FileDescriptorProto) -> FileDescriptorProto:
    """Without what only one of the two compilers writes down: JSON names and source positions."""
    file.ClearField("source_code_info")
    messages = list(file.message_type)
    while messages:
        message = messages.pop()
        messages.extend(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")
    return file


@pytest.mark.parametrize("name", NAMES)
def test_generated_code_is_that_of_the_proto_file(name: str) -> None:
    image = FileDescriptorSet.FromString(
        _buf("build", "protos", "-o", "-#format=binpb", "--exclude-source-info")
    )
    path = f"chainrule/proto/v1/{name}.proto"
    source = next(f for f in image.file if f.name == path)
    module = import_module(f"chainrule.proto.v1.{name}_pb2")
    generated = FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    # buf adds an extension of its own to its images, as an unknown field.
    source = FileDescriptorProto.FromString(_bare(source).SerializeToString())
    source.DiscardUnknownFields()
    assert source == _bare(generated), "run protos/generate.py"


def test_every_generated_file_has_its_proto_and_its_stub() -> None:
    folder = ROOT / "client/chainrule/proto/v1"
    assert sorted(p.name.removesuffix("_pb2.py") for p in folder.glob("*_pb2.py")) == NAMES
    assert sorted(p.name.removesuffix("_pb2.pyi") for p in folder.glob("*_pb2.pyi")) == NAMES


def test_protos_keep_the_rules_of_buf() -> None:
    _buf("lint", "protos")


def test_generated_code_was_made_by_the_old_generator() -> None:
    """Code of a newer generator would refuse the oldest protobuf that the project allows."""
    for name in NAMES:
        text = (ROOT / f"client/chainrule/proto/v1/{name}_pb2.py").read_text()
        assert "# Protobuf Python Version: 5.29." in text


@pytest.mark.parametrize("name", MESSAGES)
def test_bytes_of_the_first_release_mean_what_they_meant(name: str) -> None:
    """Fields may be added; none may move, change its type or lose its meaning within version 1."""
    data = (FOLDER / f"{name}.binpb").read_bytes()
    message = MESSAGES[name]()
    assert type(message).FromString(data) == message
    assert message.SerializeToString(deterministic=True) == data

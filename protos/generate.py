"""Generate client/chainrule/proto/v1 from the .proto files: the one way to do it.

Run it with the `protos` extra in an environment of its own. The old generator is on purpose:
generated code runs under newer protobuf runtimes and never under older ones.

    python -m venv /tmp/protos && /tmp/protos/bin/pip install "grpcio-tools==1.71.2" "setuptools<81"
    /tmp/protos/bin/python protos/generate.py [OUTPUT_ROOT]

Only messages are generated. Both sides of ours name methods by the table in `chainrule.calls` and
pass raw bytes, because generated stubs parse before the door could look, and would load grpc with
every message. A client in another language, or one that wants stubs in Python, generates them from
these files or from the server's reflection.
"""

import sys
from importlib.metadata import version
from pathlib import Path

from grpc_tools import protoc

PINNED = "1.71.2"
PROTOS = Path(__file__).resolve().parent


def generate(output_root: Path) -> int:
    """Write _pb2.py and _pb2.pyi under output_root/chainrule/proto/v1; protoc's exit code."""
    if version("grpcio-tools") != PINNED:
        print(f"grpcio-tools is {version('grpcio-tools')}; install grpcio-tools=={PINNED}")
        return 2
    files = sorted(PROTOS.glob("chainrule/proto/v1/*.proto"))
    well_known = Path(protoc.__file__).parent / "_proto"
    return int(
        protoc.main(
            [
                "protoc",
                f"--proto_path={PROTOS}",
                f"--proto_path={well_known}",
                f"--python_out={output_root}",
                f"--pyi_out={output_root}",
                *(str(f.relative_to(PROTOS)) for f in files),
            ]
        )
    )


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else PROTOS.parent / "client"
    sys.exit(generate(root))

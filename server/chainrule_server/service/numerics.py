"""The numerics record: everything of this build and machine that may move a bit of a result."""

import ctypes
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from chainrule.ir.functions import FUNCTIONS
from chainrule.wire.records import Numerics

# Raised with every change of the engine that moves golden bits, and with nothing else.
ENGINE_NUMERICS = "1"
_MAPS = Path("/proc/self/maps")
_CORE_NAMES = (
    "scipy_openblas_get_corename64_",
    "scipy_openblas_get_corename",
    "openblas_get_corename64_",
    "openblas_get_corename",
)


def numerics_here() -> Numerics:
    """The record of this process; `microshard_rows` is a plan's and stays 0 here."""
    build = cast(dict[str, Any], np.show_config(mode="dicts"))
    blas = build.get("Build Dependencies", {}).get("blas", {})
    record = Numerics(
        kernel_provider="numpy",
        engine_version=ENGINE_NUMERICS,
        numpy_version=np.__version__,
        blas=f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        core_type=f"{_core_name()} {_features(build)}".strip(),
    )
    return replace(record, numerics_id=_digest(record))


def _digest(record: Numerics) -> bytes:
    functions = [f"{name} v{f.version}" for name, f in sorted(FUNCTIONS.items())]
    parts = (
        record.kernel_provider,
        record.engine_version,
        record.numpy_version,
        record.blas,
        record.core_type,
        *functions,
    )
    return hashlib.sha256("\0".join(parts).encode()).digest()


def _core_name() -> str:
    """The core type that the loaded OpenBLAS chose its kernels for; "" where there is none to ask."""
    try:
        lines = _MAPS.read_text().splitlines()
    except OSError:
        return ""
    for path in sorted({line.split()[-1] for line in lines if "openblas" in line}):
        library = ctypes.CDLL(path)
        for name in _CORE_NAMES:
            function = getattr(library, name, None)
            if function is not None:
                function.restype = ctypes.c_char_p
                return bytes(function() or b"").decode(errors="replace")
    return ""


def _features(build: dict[str, Any]) -> str:
    """The widest vector unit that NumPy's own loops use here."""
    found = build.get("SIMD Extensions", {}).get("found") or [""]
    return str(found[-1])

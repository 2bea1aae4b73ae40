"""chainrule: gradients as a service. Trace NumPy code, send it as data, get derivatives.

    import numpy as np, chainrule as cr

    with cr.connect("local") as client:
        client.value_and_grad(lambda x: np.sum(np.sin((2 * x + 1) ** 2)), np.array([0.0, 0.5]))

Names are imported when they are first used: a worker that needs `chainrule.ir` loads no gRPC.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule import aio as aio
    from chainrule import fft as fft
    from chainrule import losses as losses
    from chainrule import nn as nn
    from chainrule import optim as optim
    from chainrule import random as random
    from chainrule import schedules as schedules
    from chainrule.binding import Bound as Bound
    from chainrule.client import Client as Client
    from chainrule.connecting import connect as connect
    from chainrule.connection import TLS as TLS
    from chainrule.errors import Applied as Applied
    from chainrule.errors import Cancelled as Cancelled
    from chainrule.errors import ChainruleError as ChainruleError
    from chainrule.errors import CorruptCheckpoint as CorruptCheckpoint
    from chainrule.errors import DeadlineExceeded as DeadlineExceeded
    from chainrule.errors import ErrorCode as ErrorCode
    from chainrule.errors import Fenced as Fenced
    from chainrule.errors import GraphError as GraphError
    from chainrule.errors import Incompatible as Incompatible
    from chainrule.errors import InvalidGraph as InvalidGraph
    from chainrule.errors import LimitExceeded as LimitExceeded
    from chainrule.errors import NameTaken as NameTaken
    from chainrule.errors import NonFinite as NonFinite
    from chainrule.errors import NotConverged as NotConverged
    from chainrule.errors import NotFound as NotFound
    from chainrule.errors import NumericError as NumericError
    from chainrule.errors import NumericsChanged as NumericsChanged
    from chainrule.errors import Overloaded as Overloaded
    from chainrule.errors import PermissionDenied as PermissionDenied
    from chainrule.errors import RemoteError as RemoteError
    from chainrule.errors import ResponseTooLarge as ResponseTooLarge
    from chainrule.errors import Retry as Retry
    from chainrule.errors import ServerFault as ServerFault
    from chainrule.errors import SessionError as SessionError
    from chainrule.errors import ShapeMismatch as ShapeMismatch
    from chainrule.errors import StepConflict as StepConflict
    from chainrule.errors import StepGap as StepGap
    from chainrule.errors import StepTooOld as StepTooOld
    from chainrule.errors import TLSConfigError as TLSConfigError
    from chainrule.errors import TraceError as TraceError
    from chainrule.errors import Unauthenticated as Unauthenticated
    from chainrule.errors import Unavailable as Unavailable
    from chainrule.errors import UnknownPrimitive as UnknownPrimitive
    from chainrule.errors import UnsplitWarning as UnsplitWarning
    from chainrule.errors import Unsupported as Unsupported
    from chainrule.explanation import Explanation as Explanation
    from chainrule.history import Epoch as Epoch
    from chainrule.history import History as History
    from chainrule.lease import Linearized as Linearized
    from chainrule.results import Estimate as Estimate
    from chainrule.results import Evaluation as Evaluation
    from chainrule.results import Result as Result
    from chainrule.results import ServerInfo as ServerInfo
    from chainrule.results import StepResult as StepResult
    from chainrule.session import Session as Session
    from chainrule.tracing import Graph as Graph
    from chainrule.tracing import Spec as Spec
    from chainrule.tracing import asarray as asarray
    from chainrule.tracing import checkpoint as checkpoint
    from chainrule.tracing import cond as cond
    from chainrule.tracing import custom_vjp as custom_vjp
    from chainrule.tracing import fixed_point as fixed_point
    from chainrule.tracing import grad as grad
    from chainrule.tracing import hessian as hessian
    from chainrule.tracing import hvp as hvp
    from chainrule.tracing import jacfwd as jacfwd
    from chainrule.tracing import jacrev as jacrev
    from chainrule.tracing import jvp as jvp
    from chainrule.tracing import linearize as linearize
    from chainrule.tracing import reversible as reversible
    from chainrule.tracing import root as root
    from chainrule.tracing import scan as scan
    from chainrule.tracing import spec as spec
    from chainrule.tracing import stop_gradient as stop_gradient
    from chainrule.tracing import trace as trace
    from chainrule.tracing import value_and_grad as value_and_grad
    from chainrule.tracing import vjp as vjp
    from chainrule.tracing import vmap as vmap
    from chainrule.tracing import while_loop as while_loop
    from chainrule.verification import VerifyReport as VerifyReport
    from chainrule.version import __version__ as __version__

_HOMES = {
    "binding": "Bound",
    "client": "Client",
    "connecting": "connect",
    "connection": "TLS",
    "errors": (
        "Applied Cancelled ChainruleError CorruptCheckpoint DeadlineExceeded ErrorCode Fenced "
        "GraphError Incompatible InvalidGraph LimitExceeded NameTaken NonFinite NotConverged NotFound "
        "NumericError NumericsChanged Overloaded PermissionDenied RemoteError ResponseTooLarge Retry "
        "ServerFault SessionError ShapeMismatch StepConflict StepGap StepTooOld TLSConfigError "
        "TraceError Unauthenticated Unavailable UnknownPrimitive UnsplitWarning Unsupported"
    ),
    "explanation": "Explanation",
    "history": "Epoch History",
    "lease": "Linearized",
    "results": "Estimate Evaluation Result ServerInfo StepResult",
    "session": "Session",
    "tracing": (
        "Graph Spec asarray checkpoint cond custom_vjp fixed_point grad hessian hvp "
        "jacfwd jacrev jvp linearize reversible root scan spec stop_gradient trace "
        "value_and_grad vjp vmap while_loop"
    ),
    "verification": "VerifyReport",
    "version": "__version__",
}
_HOME = {name: f"chainrule.{home}" for home, names in _HOMES.items() for name in names.split()}
_NAMESPACES = ("aio", "fft", "losses", "nn", "optim", "random", "schedules")

__all__ = [
    "TLS",
    "Applied",
    "Bound",
    "Cancelled",
    "ChainruleError",
    "Client",
    "CorruptCheckpoint",
    "DeadlineExceeded",
    "Epoch",
    "ErrorCode",
    "Estimate",
    "Evaluation",
    "Explanation",
    "Fenced",
    "Graph",
    "GraphError",
    "History",
    "Incompatible",
    "InvalidGraph",
    "LimitExceeded",
    "Linearized",
    "NameTaken",
    "NonFinite",
    "NotConverged",
    "NotFound",
    "NumericError",
    "NumericsChanged",
    "Overloaded",
    "PermissionDenied",
    "RemoteError",
    "ResponseTooLarge",
    "Result",
    "Retry",
    "ServerFault",
    "ServerInfo",
    "Session",
    "SessionError",
    "ShapeMismatch",
    "Spec",
    "StepConflict",
    "StepGap",
    "StepResult",
    "StepTooOld",
    "TLSConfigError",
    "TraceError",
    "Unauthenticated",
    "Unavailable",
    "UnknownPrimitive",
    "UnsplitWarning",
    "Unsupported",
    "VerifyReport",
    "__version__",
    "aio",
    "asarray",
    "checkpoint",
    "cond",
    "connect",
    "custom_vjp",
    "fft",
    "fixed_point",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "losses",
    "nn",
    "optim",
    "random",
    "reversible",
    "root",
    "scan",
    "schedules",
    "spec",
    "stop_gradient",
    "trace",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return importlib.import_module(f"chainrule.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""A traced function as users hold it: `cr.Graph`."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, InvalidGraph, ShapeMismatch
from chainrule.ir import canonical, checker, printer, trees
from chainrule.ir.avals import Aval, BatchDim, shape_text
from chainrule.ir.drawing import Box, draw
from chainrule.ir.graph import Debug
from chainrule.ir.graph import Graph as IRGraph
from chainrule.ir.tensors import decode_tensor, encode_tensor
from chainrule.tracing.notices import Notice
from chainrule.tracing.spec import leaf_aval
from chainrule.tracing.tape import Array

KEY = "$key"
CAPTURE = "capture/"


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A function as data: what `cr.trace` gives, and what goes wherever a function goes.

    Attributes:
        graph: the nodes.
        captures: arrays that the function closed over, by input name.
        notices: what the trace has to tell.
        in_prefixes: the name of each argument, `args/0`; leaves are named below it.
        out_prefixes: the names of the parts of the result; one is the whole result.
    """

    graph: IRGraph
    captures: Mapping[str, Array] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    in_prefixes: tuple[str, ...] = ()
    out_prefixes: tuple[str, ...] = ("out",)

    @property
    def in_names(self) -> tuple[str, ...]:
        """Names of the inputs that arguments fill, without captures and the random key."""
        return tuple(
            n for n in self.graph.main.input_names if n != KEY and not n.startswith(CAPTURE)
        )

    @property
    def out_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.graph.main.output_names

    @property
    def in_avals(self) -> dict[str, Aval]:
        """Every input's dtype and shape, by name."""
        main = self.graph.main
        return dict(zip(main.input_names, main.in_avals, strict=True))

    @property
    def out_avals(self) -> dict[str, Aval]:
        """Every output's dtype and shape, by name."""
        main = self.graph.main
        return dict(zip(main.output_names, main.out_avals, strict=True))

    @property
    def batch_axes(self) -> dict[str, int]:
        """The batch axis of each input that has one."""
        return {
            name: axis
            for name, aval in self.in_avals.items()
            for axis, dim in enumerate(aval.shape)
            if isinstance(dim, BatchDim)
        }

    @property
    def uses_random(self) -> bool:
        """Whether a random key must be fed."""
        return KEY in self.graph.main.input_names

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form, in hex; the same wherever the function's source stands."""
        return canonical.digest(self.graph).hex()

    def feeds(
        self, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None
    ) -> dict[str, Array]:
        """The arguments as arrays by input name, in the graph's dtypes.

        Raises:
            ShapeMismatch: another structure, shape or dtype than was traced, or batches of unlike length.
        """
        expected = self.in_avals
        feeds: dict[str, Array] = {}
        for name, leaf in self._leaves(args, kwargs or {}):
            if name in expected:
                feeds[name] = _fed(name, leaf, expected[name])
            elif leaf_aval(leaf, name, False) is not None:
                raise ShapeMismatch(
                    f"argument {name} was not there when the function was traced",
                    code=ErrorCode.BAD_FIELD,
                    field=name,
                    cure="trace again with arguments of this structure",
                )
        missing = [n for n in self.in_names if n not in feeds]
        if missing:
            raise ShapeMismatch(
                f"argument {missing[0]} is missing",
                code=ErrorCode.MISSING_FIELD,
                field=missing[0],
                cure="give arguments of the structure that was traced",
            )
        batch_size(self.batch_axes, feeds)
        return feeds

    def _leaves(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        positional = [p for p in self.in_prefixes if not p.startswith("kwargs/")]
        if len(args) != len(positional):
            raise ShapeMismatch(
                f"{len(args)} arguments given, {len(positional)} traced",
                code=ErrorCode.BAD_FIELD,
                cure="give as many as were traced",
            )
        for prefix, arg in zip(positional, args, strict=True):
            yield from zip(*trees.flatten(arg, prefix), strict=True)
        for key, arg in kwargs.items():
            yield from zip(*trees.flatten(arg, f"kwargs/{key}"), strict=True)

    def unflatten(self, outputs: Mapping[str, Any]) -> Any:
        """The result with its structure, from arrays by output name.

        One part gives that part, several give a tuple of them.
        """
        parts = []
        for prefix in self.out_prefixes:
            names = [n for n in self.out_names if n == prefix or n.startswith(prefix + "/")]
            parts.append(trees.unflatten(names, [outputs[n] for n in names], prefix))
        return parts[0] if len(parts) == 1 else tuple(parts)

    def to_text(self) -> str:
        """The nodes, one a line."""
        return printer.to_text(self.graph)

    def to_svg(self) -> str:
        """The nodes of the function as a picture: each below what it reads."""
        main, debug = self.graph.main, self.graph.debug_of(len(self.graph.functions) - 1)
        boxes, names = [], main.input_names
        for node in main:
            name = names[node.id] if node.op == "Input" else debug.label(node.id) or ""
            title = f"{node.id} {node.op}  {name}".rstrip()
            edges = tuple((i, "") for i in node.inputs)
            boxes.append(Box(node.id, title, str(node.aval), debug.line(node.id) or "", edges))
        return draw(boxes)

    def to_bytes(self) -> bytes:
        """The canonical form: structure and constants, without labels and captured arrays."""
        return canonical.encode(self.graph)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Graph":
        """The graph of canonical bytes, checked.

        Raises:
            GraphError: the bytes are no canonical form, or no valid graph.
        """
        graph = canonical.decode(data)
        checker.check(graph)
        return cls(graph, {}, (), *_prefixes(graph))

    def save(self, path: str | PathLike[str]) -> None:
        """Write graph, labels and captured arrays to one file (a zip; nothing in it is code)."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("graph.bin", self.to_bytes())
            graph = canonical.normalise(self.graph)
            debug = [
                [f.name, graph.debug_of(i).labels, graph.debug_of(i).lines]
                for i, f in enumerate(graph.functions)
            ]
            file.writestr("debug.json", json.dumps(debug))
            file.writestr(
                "names.json", json.dumps({"in": self.in_prefixes, "out": self.out_prefixes})
            )
            for name, array in self.captures.items():
                file.writestr(name, encode_tensor(array))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Graph":
        """The graph that `save` wrote.

        Raises:
            InvalidGraph: the file is none.
        """
        try:
            with zipfile.ZipFile(path) as file:
                graph = canonical.decode(file.read("graph.bin"))
                debugs = json.loads(file.read("debug.json"))
                functions = tuple(
                    replace(f, name=str(name))
                    for f, (name, _, _) in zip(graph.functions, debugs, strict=True)
                )
                debug = tuple(Debug(tuple(labels), tuple(lines)) for _, labels, lines in debugs)
                names = json.loads(file.read("names.json"))
                captures = {
                    info.filename: decode_tensor(file.read(info))
                    for info in file.infolist()
                    if info.filename.startswith(CAPTURE)
                }
        except (zipfile.BadZipFile, KeyError, ValueError, io.UnsupportedOperation) as error:
            raise InvalidGraph(
                f"{path} is no saved graph: {error}",
                code=ErrorCode.MALFORMED_MESSAGE,
                cure="give a file that Graph.save wrote",
            ) from error
        whole = IRGraph(functions, debug)
        checker.check(whole)
        return cls(whole, captures, (), tuple(names["in"]), tuple(names["out"]))

    def __repr__(self) -> str:
        main = self.graph.main
        ins = ", ".join(f"{n}: {a}" for n, a in list(self.in_avals.items())[:4])
        return (
            f"<Graph {main.name}({ins}{', ...' if main.n_inputs > 4 else ''}), {len(main)} nodes>"
        )


def _fed(name: str, leaf: Any, aval: Aval) -> Array:
    array = np.asarray(leaf)
    if array.dtype.name != aval.dtype.label:
        raise ShapeMismatch(
            f"argument {name} is {array.dtype}, it was traced as {aval.dtype.label}",
            code=ErrorCode.DTYPE_MISMATCH,
            field=name,
            cure=f"convert it with .astype(np.{aval.dtype.label}), or trace again",
        )
    fits = len(array.shape) == aval.rank and all(
        isinstance(d, BatchDim) or d == have
        for d, have in zip(aval.shape, array.shape, strict=True)
    )
    if not fits:
        raise ShapeMismatch(
            f"argument {name} has shape {array.shape}, it was traced with {shape_text(aval.shape)}",
            code=ErrorCode.SHAPE_MISMATCH,
            field=name,
            cure="give the traced shape, or trace again",
        )
    return np.ascontiguousarray(array, aval.dtype.numpy).reshape(array.shape)


def batch_size(axes: Mapping[str, int], arrays: Mapping[str, Array]) -> int | None:
    """The common length of the batch axes, None where there are none.

    Raises:
        ShapeMismatch: they differ (BATCH_MISMATCH).
    """
    found: dict[int, str] = {}
    for name, axis in axes.items():
        if name in arrays:
            found.setdefault(arrays[name].shape[axis], name)
    if len(found) > 1:
        texts = [f"{name} has {length}" for length, name in found.items()]
        raise ShapeMismatch(
            f"batch arguments differ in length: {', '.join(texts[:3])}",
            code=ErrorCode.BATCH_MISMATCH,
            field=next(iter(found.values())),
            cure="give every batch argument one row an example",
        )
    return next(iter(found), None)


def _prefixes(graph: IRGraph) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of arguments and parts of the result, from the names of their leaves."""
    ins: dict[str, None] = {}
    for name in graph.main.input_names:
        if name != KEY and not name.startswith(CAPTURE):
            parts = name.split("/")
            ins["/".join(parts[:2]) if parts[0] in ("args", "batch", "kwargs") else parts[0]] = None
    outs = dict.fromkeys(name.split("/")[0] for name in graph.main.output_names)
    return tuple(ins), tuple(outs)

"""The graphs of a session and their programs: kept by digest, compiled once."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

from chainrule.errors import ErrorCode, NotFound, Overloaded, ServerFault
from chainrule.ir import canonical
from chainrule.ir.graph import Graph
from chainrule.ir.tensors import Array
from chainrule_server.sessions.checks import CAPTURE, KEY, check_loss, check_reads, is_under
from chainrule_server.sessions.home import Home
from chainrule_server.sessions.manifest import Manifest
from chainrule_server.sessions.runner import STATE_WRITE, ProgramLike, StepCompiler

# Programs that only read; a session evaluates few different graphs.
_READERS_KEPT = 8

GraphSource = Callable[[bytes], Graph | None]


class GraphBook:
    """Graphs and programs of one session. The caller holds the session's turn.

    Args:
        manifest: what the session is.
        home: keeps the step graphs.
        compiler: makes programs.
        source: gives a graph that the tenant has registered, by digest.
        limit: step graphs at most.
    """

    def __init__(
        self,
        manifest: Manifest,
        home: Home,
        compiler: StepCompiler,
        source: GraphSource,
        limit: int,
    ) -> None:
        self._manifest = manifest
        self._home = home
        self._compiler = compiler
        self._source = source
        self._limit = limit
        self._places = manifest.layout.places
        self._grown = manifest.grown_layout.places
        self._steps: dict[bytes, tuple[Graph, ProgramLike]] = {}
        self._halves: dict[bytes, ProgramLike] = {}
        self._readers: OrderedDict[bytes, tuple[Graph, ProgramLike]] = OrderedDict()

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Loss graphs: those of Create in their order, then the others."""
        first = self._manifest.graphs
        optimizer = (self._manifest.init, self._manifest.update)
        later = (d for d in self._home.graph_digests() if d not in (*first, *optimizer))
        return (*first, *later)

    def step(self, digest: bytes) -> tuple[Graph, ProgramLike]:
        """A loss graph and the program of its step; a graph new to the session is kept.

        Raises:
            NotFound: neither the session nor the tenant has it (OBJECT_MISSING).
            Incompatible: it doesn't fit the session.
            Overloaded: the session has as many graphs as it may (QUOTA).
        """
        if digest not in self._steps:
            graph = self._home.graph(digest)
            is_new = graph is None
            graph = graph or self._registered(digest)
            check_loss(graph.main, self._manifest.avals)
            if is_new and len(self.digests) >= self._limit:
                raise Overloaded(
                    f"the session has {self._limit} graphs",
                    code=ErrorCode.QUOTA,
                    cure="use fewer shapes of batch, or another session",
                    limit=self._limit,
                )
            program = self._compile(graph)
            if is_new:
                self._home.add_graph(digest, graph)
            self._steps[digest] = graph, program
        return self._steps[digest]

    def half(self, digest: bytes) -> tuple[Graph, ProgramLike]:
        """A loss graph and the program that accumulates its gradients.

        Raises:
            ChainruleError: as `step`.
        """
        graph, _ = self.step(digest)
        if digest not in self._halves:
            self._halves[digest] = self._compiler.compile_gradients(
                graph,
                self._update_graph(),
                places=self._grown,
                microshard_rows=self._manifest.microshard_rows,
            )
        return graph, self._halves[digest]

    def update(self) -> ProgramLike:
        """The program that updates with accumulated gradients."""
        return self._compiler.compile_update(self._update_graph(), places=self._grown)

    def reader(self, graph: Graph | bytes | None) -> tuple[Graph, ProgramLike]:
        """A graph and the program that only evaluates it; None: the session's first loss graph.

        Raises:
            NotFound: OBJECT_MISSING, or no graph to choose.
            Incompatible: it doesn't fit the session.
        """
        if graph is None:
            if not self.digests:
                raise NotFound("the session has no graph yet", cure="name the graph to evaluate")
            graph = self.digests[0]
        digest = graph if isinstance(graph, bytes) else canonical.digest(graph)
        if digest not in self._readers:
            if isinstance(graph, bytes):
                graph = self._home.graph(digest) or self._registered(digest)
            check_reads(graph.main, self._manifest.avals)
            program = self._compiler.compile_forward(
                graph, places=self._places, microshard_rows=self._manifest.microshard_rows
            )
            self._readers[digest] = graph, program
            if len(self._readers) > _READERS_KEPT:
                self._readers.popitem(last=False)
        self._readers.move_to_end(digest)
        return self._readers[digest]

    def feeds(
        self, graph: Graph, program: ProgramLike, batch: Mapping[str, Array], key: Array
    ) -> dict[str, Array]:
        """All that a program takes beside the state: batch, key of the draws, captured arrays."""
        wanted = {port.name for port in program.inputs if port.place.region == 0}
        found = {name: array for name, array in batch.items() if name in wanted}
        if KEY in wanted:
            found[KEY] = key
        for name in graph.main.input_names:
            if name.startswith(CAPTURE) and name in wanted:
                found[name] = self._home.capture(_captured(name))
        return found

    def _registered(self, digest: bytes) -> Graph:
        graph = self._source(digest)
        if graph is None:
            raise NotFound(
                f"no graph {digest.hex()} in this session or registered by this tenant",
                code=ErrorCode.OBJECT_MISSING,
                cure="register the graph, then send the same request again",
                missing=(digest,),
            )
        return graph

    def _compile(self, loss: Graph) -> ProgramLike:
        for name in loss.main.input_names:
            if name.startswith(CAPTURE):
                self._home.capture(_captured(name))
        program = self._compiler.compile_step(
            loss,
            self._update_graph(),
            places=self._places,
            microshard_rows=self._manifest.microshard_rows,
        )
        written = {port.name for port in program.outputs if port.place.region == STATE_WRITE}
        changing = {
            name
            for name, _ in self._manifest.leaves
            if not is_under(name, "params") or name in self._manifest.trained
        }
        # What a step leaves unwritten would be two steps old in the buffer that becomes valid.
        if written != changing:
            wrong = sorted(written ^ changing)
            raise ServerFault(f"the step's program and the state disagree about {', '.join(wrong)}")
        return program

    def _update_graph(self) -> Graph:
        update = self._home.graph(self._manifest.update)
        if update is None:
            raise ServerFault("the optimizer of the session is missing from its folder")
        return update


def _captured(name: str) -> bytes:
    return bytes.fromhex(name.removeprefix(CAPTURE))

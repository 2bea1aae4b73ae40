"""What `client.verify` found: derivatives against values, leaf by leaf, and the worst nodes."""

from dataclasses import dataclass

from chainrule.wire.records import (
    Check,
    Notice,
    Numerics,
    Resources,
    Verdict,
    VerifiedLeaf,
    VerifiedNode,
)

_WORDS = {
    Verdict.AGREES: "agrees",
    Verdict.DIFFERS: "DIFFERS",
    Verdict.UNCERTAIN: "uncertain",
    Verdict.NOT_FINITE: "NOT FINITE",
}


@dataclass(frozen=True, slots=True, eq=False)
class VerifyReport:
    """The derivatives of a function at a point, checked by the server.

    Attributes:
        ok: nothing differs and everything is finite; what is uncertain (a kink) doesn't count against it.
        leaves: an entry an input: its derivative along a random direction against central differences.
        adjoint: <ct, jvp t> against <vjp ct, t>.
        nodes: the worst nodes: those that differ first, in the order of the program.
        value_finite: no NaN and no infinity in the value.
        evaluations: times that the function was run.
        stats, notices, numerics: as of any call.
    """

    ok: bool
    leaves: tuple[VerifiedLeaf, ...]
    adjoint: Check
    nodes: tuple[VerifiedNode, ...]
    value_finite: bool
    evaluations: int
    stats: Resources
    notices: tuple[Notice, ...]
    numerics: Numerics

    def __bool__(self) -> bool:
        return self.ok

    @property
    def worst_leaf(self) -> VerifiedLeaf:
        """The input whose derivative is farthest off."""
        return max(self.leaves, key=lambda leaf: _rank(leaf.check))

    @property
    def worst_node(self) -> VerifiedNode | None:
        """The first node that differs, else the one with the largest error; None of a very large graph."""
        return self.nodes[0] if self.nodes else None

    def to_text(self) -> str:
        """The report for reading."""
        state = "derivatives agree" if self.ok else "derivatives are NOT verified"
        lines = [f"{state} ({self.evaluations} evaluations)"]
        if not self.value_finite:
            lines.append("  the value itself is not finite")
        width = max((len(leaf.name) for leaf in self.leaves), default=0)
        for leaf in self.leaves:
            flag = "" if leaf.finite else ", has values that are not finite"
            lines.append(f"  {leaf.name:<{width}}  {_line(leaf.check)}{flag}")
        lines.append(f"  {'adjoint':<{width}}  {_line(self.adjoint)}")
        if self.worst_node is not None:
            lines.append(f"worst leaf  {self.worst_leaf.name}")
            lines.append(f"worst node  {node_text(self.worst_node)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.to_text()


def node_text(node: VerifiedNode) -> str:
    """`%4 Sin model.py:12: forward agrees, error 1e-12; adjoint agrees, error 0`."""
    where = " ".join(part for part in (node.label, node.source_line) if part)
    text = f"%{node.node} {node.op}{' ' + where if where else ''}: forward {_short(node.forward)}"
    return text + (f"; adjoint {_short(node.adjoint)}" if node.adjoint else "")


def _line(check: Check) -> str:
    told = f"{_WORDS[check.verdict]:<10} {check.derivative: .10g} against {check.estimate: .10g}"
    return f"{told}, error {check.error:.1e}"


def _short(check: Check) -> str:
    return f"{_WORDS[check.verdict]}, error {check.error:.1e}"


def _rank(check: Check) -> tuple[bool, float]:
    bad = check.verdict in (Verdict.DIFFERS, Verdict.NOT_FINITE)
    return bad, check.error

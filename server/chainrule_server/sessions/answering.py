"""From what an operation did to what it answers, and to its receipts."""

from dataclasses import dataclass

from chainrule.ir.operations import next_chain
from chainrule.ir.tensors import tensor_digest
from chainrule_server.sessions.journal import Journal
from chainrule_server.sessions.state import names_of
from chainrule_server.sessions.steps import Outcome
from chainrule_server.sessions.types import Durability, OpHeader, OpReply, Receipt, ReceiptMode
from chainrule_server.storage.failures import translated


@dataclass(frozen=True, slots=True)
class Answerer:
    """Makes the replies of one session."""

    journal: Journal
    durability: Durability
    numerics_id: bytes

    def reply(self, header: OpHeader, outcome: Outcome) -> OpReply:
        """The answer to an operation that is about to be committed."""
        chain = next_chain(header.prev, header.digest)
        return OpReply(
            seq=header.seq,
            step=outcome.step,
            epoch=header.epoch,
            chain=chain,
            loss=outcome.loss,
            grad_norm=outcome.grad_norm,
            grad_norms=outcome.grad_norms,
            finite=outcome.finite,
            metrics=outcome.metrics,
            resources=outcome.resources,
            receipts=self._receipts(header.receipts, chain, outcome),
            durability_reached=self.durability,
            durable_seq=self.journal.durable_seq,
            numerics_id=self.numerics_id,
            notices=outcome.notices,
            microshard_rows=outcome.microshard_rows,
        )

    def _receipts(self, mode: ReceiptMode, chain: bytes, outcome: Outcome) -> tuple[Receipt, ...]:
        receipts = []
        if mode is not ReceiptMode.NONE:
            receipts.append(Receipt("chain", chain, "sha256"))
        if mode is ReceiptMode.FULL:
            receipts += leaf_receipts(self.journal, outcome)
        if outcome.checkpoint:
            # What names the checkpoint of a Save or Restore, also to a replay.
            receipts.append(Receipt("checkpoint", outcome.checkpoint, "sha256"))
        return tuple(receipts)


def leaf_receipts(journal: Journal, outcome: Outcome) -> list[Receipt]:
    """A digest a leaf of the state as an operation leaves it; reads all of it."""
    state, has_gradients = journal.state, outcome.pending.count > 0
    with translated("reading the session's state"):
        return [
            Receipt(name, tensor_digest(state.read(outcome.state_version, name)), "sha256")
            for name in names_of(state.layout, with_gradients=has_gradients)
        ]

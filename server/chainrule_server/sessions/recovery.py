"""Where a session stands after any end of the server: log and header must tell one story.

A commit writes the state's other buffer, then one log record, then the header. So a sound session has a log
that is as long as the header says, or one record longer (its commit was made, the header had no time). A
shorter log, a longer one, or a header that disagrees with the record it stands at, means that something was
lost, rolled back or damaged: the session is refused, never continued from a wrong place.
"""

from chainrule.errors import CorruptCheckpoint, ErrorCode, StepConflict
from chainrule_server.sessions.header import StateHeader
from chainrule_server.sessions.log import HEADER_BYTES, Log
from chainrule_server.sessions.order import Ledger
from chainrule_server.sessions.state import StateFile, names_of


def replay_log(log: Log, ledger: Ledger, headers: tuple[StateHeader, ...]) -> None:
    """Bring a fresh ledger to where the log ends, and cut a torn tail.

    Args:
        log: opened, not yet read.
        ledger: as after Create.
        headers: the intact headers of the state file, the newest first.

    Raises:
        CorruptCheckpoint: log and header don't fit each other.
    """
    if not headers:
        raise _damaged("both headers of its state are damaged")
    header = headers[0]
    # Where one slot is damaged it may have been the newest, so the log may be ahead once more.
    allowed = 1 if len(headers) == 2 and header.serial - headers[1].serial == 1 else 2
    is_witnessed = header.log_bytes == HEADER_BYTES and _agrees(header, ledger)
    ahead = 0
    for entry in log.entries():
        ledger.note(entry)
        if entry.end == header.log_bytes:
            is_witnessed = _agrees(header, ledger)
        ahead += entry.end > header.log_bytes
    if not is_witnessed:
        raise _damaged(
            f"its log is sound for {log.end} bytes, the state's header saw {header.log_bytes}"
        )
    if ahead > allowed:
        raise _damaged(f"its log is {ahead} records ahead of the state")
    if log.has_tail:
        log.cut()


def check_state(state: StateFile, header: StateHeader, ledger: Ledger, boot_id: bytes) -> None:
    """That the valid buffer is what the log says.

    Page cache outlives every process but not the kernel, so after another boot only a state that was
    synced at a clean end, and has its digest, is known to be whole.

    Raises:
        StepConflict: the state was in the page cache of a kernel that is gone (STEPS_LOST).
        CorruptCheckpoint: the state differs from the digest it was left with.
    """
    is_clean = header.is_clean and header.state_version == ledger.state_version
    if not is_clean and header.boot_id != boot_id:
        raise StepConflict(
            "the machine went down while the session's state was only in memory",
            code=ErrorCode.STEPS_LOST,
            cure="create the session again; its durability doesn't survive loss of power",
        )
    if header.is_stamped and not state.is_made_by(ledger.state_version, ledger.made_by):
        raise _damaged(f"its state isn't the one that operation {ledger.seq} left")
    names = names_of(state.layout, with_gradients=ledger.pending.count > 0)
    if is_clean and state.digest(ledger.state_version, names) != header.state_digest:
        raise _damaged("its state differs from the digest it was left with")


def _agrees(header: StateHeader, ledger: Ledger) -> bool:
    seen = (header.seq, header.chain, header.step, header.epoch, header.state_version)
    stands = (ledger.seq, ledger.chain, ledger.step, ledger.epoch, ledger.state_version)
    return seen == stands and header.log_records == ledger.records


def _damaged(fact: str) -> CorruptCheckpoint:
    return CorruptCheckpoint(
        f"the session is set aside: {fact}",
        cure="restore its folder from a backup, or create it again",
    )

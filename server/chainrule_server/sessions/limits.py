"""How much of everything a session, a tenant and the server's sessions together may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds, each with the refusal that names it.

    Attributes:
        sessions_per_tenant: open at once (QUOTA).
        state_bytes: of one buffer of one session (TOO_LARGE).
        open_sessions: with open files at once; the longest unused is closed and found again on use.
        window, max_window: operations held or applied at once, as a default and at most.
        held_bytes: inline tensors of all operations that wait for predecessors (STEP_GAP).
        replies_kept: applied operations that are answered again (STEP_TOO_OLD).
        graphs_per_session: step graphs (QUOTA).
        checkpoint_bytes: tensors of all checkpoints of a tenant (QUOTA).
    """

    sessions_per_tenant: int = 1000
    state_bytes: int = 8 << 30
    open_sessions: int = 128
    window: int = 4
    max_window: int = 64
    held_bytes: int = 256 << 20
    replies_kept: int = 64
    graphs_per_session: int = 64
    checkpoint_bytes: int = 256 << 30

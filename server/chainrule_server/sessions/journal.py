"""Log and header as one: how far a session has come, witnessed twice.

A record is committed when it is in the log. The header follows; where it can't be written, the next record
waits for it, because recovery takes one record ahead of the header for a commit and two for a rollback.
The session's lock is held for every call.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from chainrule.errors import Applied, ChainruleError
from chainrule.ir.operations import next_chain
from chainrule_server.sessions.header import StateHeader
from chainrule_server.sessions.home import Home
from chainrule_server.sessions.layout import StateLayout
from chainrule_server.sessions.log import Entry, Log
from chainrule_server.sessions.order import Kept, Ledger
from chainrule_server.sessions.record import Record
from chainrule_server.sessions.state import StateFile, names_of
from chainrule_server.storage.failures import translated


class Journal:
    """Keeps the log, the state's header and the ledger in step.

    Attributes:
        ledger: where the session stands.
        state: the buffers.
        home: where they lie.
        durable_seq: the last operation known to survive loss of power.
    """

    def __init__(
        self,
        home: Home,
        log: Log,
        state: StateFile,
        ledger: Ledger,
        header: StateHeader,
        boot_id: bytes,
    ) -> None:
        self.ledger = ledger
        self.state = state
        self.durable_seq = header.seq if header.is_clean else 0
        self.home = home
        self._log = log
        self._header = header
        self._boot_id = boot_id
        self._owes_header = header.log_bytes != log.end
        self._syncing = threading.Lock()

    def append(self, record: Record) -> None:
        """Commit a record.

        Raises:
            Overloaded, Unavailable: the session stands where it stood; `applied` is UNKNOWN where bytes
                could be neither written whole nor taken away, and may count after a crash.
        """
        if self._owes_header:
            with translated("writing the session's header"):
                self._write_header()
        if record.state_version != self.ledger.state_version:
            with translated("writing the session's state"):
                self.state.stamp(record.state_version, next_chain(record.prev, record.digest))
        try:
            with translated("writing the session's log"):
                entry = self._log.append(record)
        except ChainruleError as error:
            error.applied = Applied.UNKNOWN if self._log.is_torn else Applied.NO
            raise
        self.ledger.note(entry)
        self._owes_header = True

    def witness(self) -> None:
        """Write the header of the record just committed; a failure is made good before the next one."""
        try:
            self._write_header()
        except OSError:
            self._owes_header = True

    @property
    def names(self) -> tuple[str, ...]:
        """The leaves that are the state now."""
        return names_of(self.state.layout, with_gradients=self.ledger.pending.count > 0)

    def history(self) -> Iterator[Entry]:
        """The records of the log, from its beginning.

        Raises:
            Overloaded, Unavailable: it can't be read now.
        """
        with translated("reading the session's log"):
            yield from self._log.history()

    def own_state(self, forget: Callable[[bytes], None]) -> None:
        """Before a write: have a state file that no other session lives on. The caller has the turn.

        Raises:
            Overloaded, Unavailable: there is no room for one.
        """
        with translated("looking at the session's state"):
            is_shared = self.state.is_borrowed or self.home.is_lent
        if is_shared:
            self.move_state(self.state.layout, forget)

    def move_state(self, layout: StateLayout, forget: Callable[[bytes], None]) -> None:
        """Give the state a file of its own with this layout; `forget` hears the key of the old one.

        The new file is whole before it takes the old one's name, and both tell the same story.

        Raises:
            Overloaded, Unavailable: there is no room for it; nothing has changed.
        """
        old, version = self.state, self.ledger.state_version
        with translated("making room for the session's state"):
            fd = self.home.open("state.new", create=True)
            try:
                self.state = StateFile.renewed(old, fd, layout)
                try:
                    names = [n for n in self.names if n in old.layout.names]
                    self.state.write(version, ((n, old.read(version, n)) for n in names))
                    self.state.stamp(version, self.ledger.made_by)
                    for _ in range(2):
                        self._write_header()
                    self.home.adopt("state")
                except BaseException:
                    self.state = old
                    raise
            except BaseException:
                old.drop(fd)
                raise
        forget(old.key)
        old.close()

    def take_name(self) -> None:
        """A state file that was made anew beside the old one is whole: let it be the session's.

        Raises:
            OSError: it isn't, the old one stays.
        """
        self.state.stamp(self.ledger.state_version, self.ledger.made_by)
        for _ in range(2):
            self._write_header()
        self.state.sync()
        self.home.adopt("state")
        self.durable_seq = self.ledger.seq

    def read(self, kept: Kept) -> Record:
        """The record of an operation applied before.

        Raises:
            CorruptCheckpoint: it has been damaged since.
            Overloaded, Unavailable: it can't be read now.
        """
        with translated("reading the session's log"):
            return self._log.read(kept.offset)

    def settle(self) -> None:
        """Sync everything and leave the digest of the state, so that another boot can trust it.

        Raises:
            Overloaded, Unavailable: it isn't proven; nothing is lost as long as the machine is up.
        """
        with translated("syncing the session"):
            self._log.sync()
            self.state.sync()
            digest = self.state.digest(self.ledger.state_version, self.names)
            self._write_header(is_clean=True, digest=digest)
            self.state.sync()
        self.durable_seq = self.ledger.seq

    def make_durable(self, seq: int, lock: AbstractContextManager[Any]) -> None:
        """Until operation `seq` and those before it survive loss of power.

        Args:
            seq: a committed operation.
            lock: the session's; held only for a look, so that others go on during the sync.

        Raises:
            Overloaded, Unavailable: it isn't known to (`applied` UNKNOWN); the same request asks again.
        """
        with self._syncing:
            if self.durable_seq >= seq:
                return
            with lock:
                last = self.ledger.seq
            self.sync_log()
            self.durable_seq = max(self.durable_seq, last)

    def sync_log(self) -> None:
        """Until every record is on the device.

        Raises:
            Overloaded, Unavailable: it isn't.
        """
        with translated("syncing the session's log", Applied.UNKNOWN):
            self._log.sync()

    def close(self) -> None:
        """Give the files back."""
        self._log.close()
        self.state.close()

    def _write_header(self, *, is_clean: bool = False, digest: bytes = bytes(32)) -> None:
        header = replace(
            self._header,
            buffer_offset=self.state.buffer_offset,
            is_grown=self.state.is_grown,
            is_stamped=self._header.is_stamped
            or self.ledger.state_version != self._header.state_version,
            serial=self._header.serial + 1,
            seq=self.ledger.seq,
            step=self.ledger.step,
            epoch=self.ledger.epoch,
            state_version=self.ledger.state_version,
            log_bytes=self._log.end,
            log_records=self.ledger.records,
            chain=self.ledger.chain,
            boot_id=self._boot_id,
            is_clean=is_clean,
            state_digest=digest,
        )
        self.state.write_header(header)
        self._header = header
        self._owes_header = False

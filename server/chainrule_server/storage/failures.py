"""What a failing system call means to the one who asked."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.errors import Applied, ChainruleError, ErrorCode, Overloaded, Unavailable

_FULL = (errno.ENOSPC, errno.EDQUOT)
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def storage_error(error: OSError, doing: str, applied: Applied = Applied.NO) -> ChainruleError:
    """The error of ours for one of the kernel. The text never carries a path.

    Args:
        error: what the kernel said.
        doing: `writing the log`; completes the sentence.
        applied: what is known of the operation it interrupted.
    """
    name = errno.errorcode.get(error.errno or 0, "an unknown error")
    fact = f"the server's storage failed while {doing} ({name})"
    if error.errno in _FULL:
        return Overloaded(
            fact,
            code=ErrorCode.STORAGE_FULL,
            cure="free space in the data folder and send the same request again",
            applied=applied,
        )
    if error.errno in _EXHAUSTED:
        return Overloaded(
            fact, cure="wait and send the same request again", applied=applied, retry_after_s=1.0
        )
    return Unavailable(fact, cure="send the same request again", applied=applied)


@contextmanager
def translated(doing: str, applied: Applied = Applied.NO) -> Iterator[None]:
    """Turn an OSError of the block into an error of ours.

    Raises:
        Overloaded: the disk is full (STORAGE_FULL), or descriptors have run out (OVERLOADED).
        Unavailable: any other failure of storage.
    """
    try:
        yield
    except OSError as error:
        raise storage_error(error, doing, applied) from error

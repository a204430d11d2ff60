"""What goes wrong with the disk under a work directory, told in one line with its remedy."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from llmi2i_cli.errors import WorkdirError

# As libraries tell of it that have errors of their own: torch when it saves; Polars and safetensors.
NO_SPACE = r"No space left on device|inline_container\.cc.* unexpected pos"
NUMBERED = r"\(os error (\d+)\)"


@contextlib.contextmanager
def one_line_of_the_disk(workdir: Path) -> Iterator[None]:
    """Whatever the system or a library says of the disk in this block becomes a WorkdirError about `workdir`."""
    try:
        yield
    except OSError as error:
        raise _workdir_error(error, workdir) from error
    except Exception as error:
        if re.search(NO_SPACE, str(error)):
            raise _workdir_error(OSError(errno.ENOSPC, str(error)), workdir) from error
        if told := re.search(NUMBERED, str(error)):
            raise _workdir_error(OSError(int(told[1]), os.strerror(int(told[1]))), workdir) from error
        raise


def _workdir_error(error: OSError, workdir: Path) -> WorkdirError:
    where, number = error.filename or workdir, error.errno
    if number is None and (told := re.search(NUMBERED, str(error))):  # Polars keeps it in the text alone
        number = int(told[1])
    if number == errno.ENOSPC:
        return WorkdirError(
            f"no space left on the device that holds {workdir}: free some and run the same command again"
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return WorkdirError(f"{where} cannot be read or written: change its permissions or use another --workdir")
    if number in (errno.ENOTDIR, errno.EEXIST):
        return WorkdirError(f"{where} is not a directory: use another --workdir")
    return WorkdirError(f"{where}: {error.strerror or error}; the work done so far is kept, run the same command again")

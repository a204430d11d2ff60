"""The program: runs the command line and turns what went wrong into one line and an exit status."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

LONGEST_NAME = 200  # characters that are shown of a file's
MOST_THREADS = 4096  # with a million Numba ends in a segmentation fault
GRACE_SECONDS = 10.0  # for the first process of a run to say itself what went wrong in all of them


def main(arguments: list[str] | None = None) -> int:
    """Run `llmi2i` with `arguments` (default: the process's own) and return its exit status.

    0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    try:
        _open_streams()
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:  # also while modules are imported
        return 130


def _run(arguments: list[str]) -> int:
    from typer.exceptions import TyperException

    from llmi2i_cli.cli.app import app
    from llmi2i_cli.cli.printing import give_up_stdout, on_stdout
    from llmi2i_cli.errors import Llmi2iError
    from llmi2i_cli.runs.processes import one_voice

    # Packed batches come in many shapes, and oneDNN keeps code for up to 1,024 of them, gigabytes: a few are enough.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    # Numba shares OpenMP with torch and sets its number of threads: what was asked for holds for both.
    if "OMP_NUM_THREADS" in os.environ:
        os.environ.setdefault("NUMBA_NUM_THREADS", _outermost(os.environ["OMP_NUM_THREADS"]))
    debug = "--debug" in arguments
    try:
        _check_threads()
        with one_voice():
            status = int(app([a for a in arguments if a != "--debug"], prog_name="llmi2i", standalone_mode=False) or 0)
            with on_stdout():  # here, where a reader that has gone can still be told from success
                pass
        return status
    except TyperException as error:
        return _fail(error.format_message(), error.exit_code)
    except Llmi2iError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_status)
    except BrokenPipeError:  # the reader of our output has gone, e.g. `| head`
        return 1
    except MemoryError:
        return _fail("out of memory: see the stage's --help for options that lower its use", 1)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of Rust code is no Exception
        if debug:
            raise
        if isinstance(error, OSError) and error.filename is not None:  # a name that nothing can have, say
            return _fail(f"{os.fsdecode(error.filename)[:LONGEST_NAME]}: {error.strerror}", 1)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EBADF, errno.EIO):  # of --help
            give_up_stdout()
            return _fail(f"the results cannot be written to stdout: {error.strerror}", 1)
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which is no MemoryError
            return _fail("out of memory on the device: see the stage's --help for options that lower its use", 1)
        return _fail(f"{type(error).__name__}: {error} (this should not happen; --debug shows where)", 1)


def _open_streams() -> None:
    """Let results and messages be written whatever the caller has made of stdout and stderr.

    What is written to a stream that was closed goes nowhere; a character that an encoding lacks is written by number.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        if reconfigure := getattr(getattr(sys, name), "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _outermost(threads: str) -> str:
    """The first number of OpenMP's list, with one for each level of nesting."""
    return threads.split(",", 1)[0].strip()


def _check_threads() -> None:
    from llmi2i_cli.errors import UsageError

    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS"):
        value = _outermost(os.environ.get(name, "1"))
        if not value.isdecimal() or not 1 <= int(value) <= MOST_THREADS:
            raise UsageError(
                f"the environment variable {name} is {value!r}, and threads are 1 to {MOST_THREADS:,}: unset it"
            )


def _fail(message: str, status: int) -> int:
    from llmi2i_cli.errors import UsageError
    from llmi2i_cli.runs.processes import is_first, rank
    from llmi2i_cli.runs.terminal import shown

    try:
        if not is_first():  # torchrun ends this process as soon as the first fails; if not, only this one knows
            time.sleep(GRACE_SECONDS)
            message = f"process {rank()}: {message}"
    except UsageError:  # the number of this process is what is wrong
        pass
    if message:  # empty where the help was shown instead
        with suppress(OSError):
            sys.stderr.write("Error: " + shown(" ".join(message.split())) + "\n")
            sys.stderr.flush()
    return status


if __name__ == "__main__":
    sys.exit(main())

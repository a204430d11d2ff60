"""The program: runs the command line and turns what went wrong into one line and an exit status."""

from __future__ import annotations

import os
import sys
import time

GRACE_SECONDS = 10.0  # for the first process of a run to say itself what went wrong in all of them


def main(arguments: list[str] | None = None) -> int:
    """Run `llmi2i` with `arguments` (default: the process's own) and return its exit status.

    0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    from typer.exceptions import TyperException

    from llmi2i_cli.cli.app import app
    from llmi2i_cli.errors import Llmi2iError
    from llmi2i_cli.runs.processes import one_voice

    # Packed batches come in many shapes, and oneDNN keeps code for up to 1,024 of them, gigabytes: a few are enough.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    # Numba shares OpenMP with torch and sets its number of threads: what was asked for holds for both.
    if "OMP_NUM_THREADS" in os.environ:
        os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        with one_voice():
            status = int(app([a for a in arguments if a != "--debug"], prog_name="llmi2i", standalone_mode=False) or 0)
            sys.stdout.flush()  # here, where a reader that has gone can still be told from success
        return status
    except TyperException as error:
        return _fail(error.format_message(), error.exit_code)
    except Llmi2iError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has gone, e.g. `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        return _fail("out of memory: see the stage's --help for options that lower its use", 1)
    except Exception as error:
        if debug:
            raise
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which is no MemoryError
            return _fail("out of memory on the device: see the stage's --help for options that lower its use", 1)
        return _fail(f"{type(error).__name__}: {error} (this should not happen; --debug shows where)", 1)


def _fail(message: str, status: int) -> int:
    from llmi2i_cli.runs.processes import is_first, rank

    if not is_first():  # torchrun ends this process as soon as the first fails; if it does not, only this one knows
        time.sleep(GRACE_SECONDS)
        message = f"process {rank()}: {message}"
    if message:  # empty where the help was shown instead
        sys.stderr.write("Error: " + " ".join(message.split()) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())

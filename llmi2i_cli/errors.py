"""What a user can get wrong. Each message is one line that names the file, row or column, and what to do next."""


class Llmi2iError(Exception):
    """Base of every error that is shown as one `Error: ...` line. Exit status 1."""

    exit_status = 1


class InputError(Llmi2iError):
    """A file that the user gave is missing, damaged or has the wrong content."""


class ArtifactError(Llmi2iError):
    """A file of the work directory is missing, damaged or foreign; the message names the stage that makes it."""


class WorkdirError(Llmi2iError):
    """The work directory cannot be used: not writable, full, or another process is running the same stage."""


class OutputError(Llmi2iError):
    """What was asked for cannot be written to stdout (it is closed, or its disk is full) or to a server."""


class ModelError(Llmi2iError):
    """A base model or checkpoint cannot be loaded, or training broke down (out of memory, NaN loss)."""


class GateError(Llmi2iError):
    """A new index must not take the place of the old one; the message names each gate that failed."""


class PackageError(Llmi2iError):
    """An optional package that was asked for is not installed; the message names the extra that holds it."""


class ClusterError(Llmi2iError):
    """The Ray cluster that was asked for does not answer, or loses every worker."""


class UsageError(Llmi2iError):
    """Options that contradict each other or are out of range. Exit status 2."""

    exit_status = 2

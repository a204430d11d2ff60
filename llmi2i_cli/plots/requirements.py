"""Whether figures can be drawn here: matplotlib is in an extra. Nothing of it is imported."""

from __future__ import annotations

from importlib.util import find_spec

from llmi2i_cli.errors import PackageError


def require_plots(what: str) -> None:
    """PackageError, naming `what` needs them, unless the packages of the extra ``plots`` are installed."""
    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise PackageError(f"{what} needs {' and '.join(missing)}: run `pip install 'llmi2i[plots]'` first")

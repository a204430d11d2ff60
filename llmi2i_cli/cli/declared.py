"""Command-line options made from what the tables of choices declare."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer

from llmi2i_cli.choices.options import Declared, declared, spelled

COMMON = ("plot", "force", "as_json")  # options of most commands, listed last

Command = TypeVar("Command", bound=Callable[..., None])


def with_options(options_by_owner: Mapping[str, type]) -> Callable[[Command], Command]:
    """Give a command with ``**options`` the options of several owners (models), each None unless it was given.

    Owners may share an option by its name and type; the help then says what it means to each, and the default of each.
    """

    def decorate(command: Command) -> Command:
        return _with(command, [_shared(name, owners) for name, owners in _by_name(options_by_owner).items()])

    return decorate


def with_declared(*options: type) -> Callable[[Command], Command]:
    """Give a command with ``**options`` every option that some dataclasses declare, with its default."""

    def decorate(command: Command) -> Command:
        every = (item for each in options for item in declared(each).items())
        return _with(command, [_parameter(name, *about) for name, about in every])

    return decorate


def given_of(context: typer.Context, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a command's options that were given, be it with the value that is the default."""
    sources = {name: context.get_parameter_source(name) for name in options}
    return {name: options[name] for name, source in sources.items() if source and source.name != "DEFAULT"}


def _with(command: Command, made: list[inspect.Parameter]) -> Command:
    """Put parameters in the place of ``**options``, before those of `COMMON`."""
    signature = inspect.signature(command, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    shown = [each.replace(kind=each.KEYWORD_ONLY) for each in own]
    last = next((place for place, each in enumerate(shown) if each.name in COMMON), len(shown))
    command.__signature__ = signature.replace(parameters=[*shown[:last], *made, *shown[last:]])  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in [*shown, *made]} | {"return": None}
    return command


def _parameter(name: str, kind: Any, default: Any, about: Declared) -> inspect.Parameter:
    if get_origin(kind) is tuple:  # repeatable
        kind, default = list[get_args(kind)[0]], list(default)  # type: ignore[misc]
    said: dict[str, Any] = {} if about.shown is None else {"show_default": about.shown}
    if about.min is not None or about.max is not None:
        said |= {"min": about.min, "max": about.max}
    return _keyword(name, kind, default, typer.Option(help=about.help, **said))


def _by_name(options_by_owner: Mapping[str, type]) -> dict[str, dict[str, tuple[Any, Any, Declared]]]:
    """Option name -> owner -> type, default and what is said of it."""
    found: dict[str, dict[str, tuple[Any, Any, Declared]]] = {}
    for owner, options in options_by_owner.items():
        for name, about in declared(options).items():
            found.setdefault(name, {})[owner] = about
    return found


def _shared(name: str, owners: Mapping[str, tuple[Any, Any, Declared]]) -> inspect.Parameter:
    types = {kind for kind, _, _ in owners.values()}
    if len(types) > 1:
        raise TypeError(f"{spelled(name)} has another type with each of {', '.join(owners)}")
    kind = types.pop()
    by_help: dict[str, list[str]] = {}
    for owner, (_, _, about) in owners.items():
        by_help.setdefault(about.help, []).append(owner)
    help = "; ".join(f"{', '.join(who)}: {what}" for what, who in by_help.items()) + "."
    defaults = list(dict.fromkeys(_shown(name, default) for _, default, _ in owners.values()))
    flag = [f"{spelled(name)}/--no-{name.replace('_', '-')}"] if kind is bool else []
    bounds: dict[str, Any] = {}
    if kind in (int, float):
        lows, highs = ([getattr(about, end) for _, _, about in owners.values()] for end in ("min", "max"))
        bounds = {
            "min": min(lows) if None not in lows else None,
            "max": max(highs) if None not in highs else None,
        }
    option = typer.Option(*flag, help=help, show_default=" or ".join(defaults), **bounds)
    return _keyword(name, kind | None, None, option)


def _keyword(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def _shown(name: str, default: Any) -> str:
    if isinstance(default, bool):
        return ("" if default else "no-") + name.replace("_", "-")
    return f"{default:g}" if isinstance(default, float) else str(default)

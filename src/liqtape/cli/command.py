"""How each command reads its options and shows its help."""

import logging
from typing import Any

from typer.core import TyperCommand, TyperGroup

from liqtape.cli.logs import log_as, log_at

__all__ = ["Command", "Commands"]

_VERBOSE = {"-v": 1, "-vv": 2, "--verbose": 1}
_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)
_FORM = "--log-format"
_SAID = (
    ("-v, --verbose", "More log on standard error; twice: all of it."),
    (f"{_FORM} [text|json]", "Log lines for people, or JSON objects."),
)


class Command(TyperCommand):
    """A command that takes `-v` also behind its name, and tells all of its help in the width there is."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take `-v` out, before the options of the command are read."""
        rest: list[str] = super().parse_args(ctx, _obeyed(args, args.index("--") if "--" in args else len(args)))
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what stands behind the name: options, then the arguments as their help calls them."""
        named = [_named(param) for param in self.get_params(ctx) if param.param_type_name == "argument"]
        return ["[OPTIONS]", *named]

    def get_short_help_str(self, limit: int = 45) -> str:  # noqa: ARG002 - what is too long for a line is broken, not cut
        """Return the first paragraph of the help."""
        return " ".join((self.help or "").split("\n\n")[0].split())

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options in the order of the command, those that every command has last."""
        _write_records(self, ctx, formatter)


class Commands(TyperGroup):
    """All commands, in the order in which a new user meets them; `-v` before a command is for it."""

    command_class = Command

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take `-v` out that stands before the name of a command."""
        named = next((place for place, text in enumerate(args) if _is_command(args, place)), len(args))
        rest: list[str] = super().parse_args(ctx, _obeyed(args, named))
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the commands."""
        _write_records(self, ctx, formatter)
        self.format_commands(ctx, formatter)


def _obeyed(args: list[str], until: int) -> list[str]:
    """Return the arguments without those before `until` that are about the log, which they change."""
    if wanted := sum(_VERBOSE.get(text, 0) for text in args[:until]):
        log_at(_LEVELS[min(wanted, 2)])
    rest: list[str] = []
    own = iter(args[:until])
    for text in own:
        if text == _FORM:
            log_as(next(own, ""))
        elif text.startswith(f"{_FORM}="):
            log_as(text.partition("=")[2])
        elif text not in _VERBOSE:
            rest.append(text)
    return rest + args[until:]


def _is_command(args: list[str], place: int) -> bool:
    return not args[place].startswith("-") and (place == 0 or args[place - 1] != _FORM)


def _named(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _write_records(command: Any, ctx: Any, formatter: Any) -> None:
    records = [(param, param.get_help_record(ctx)) for param in command.get_params(ctx)]
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        rows = [
            (_named(param), record[1]) if kind == "argument" else record
            for param, record in records
            if record is not None and param.param_type_name == kind
        ]
        if kind == "option":
            rows[-1:-1] = _SAID
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)

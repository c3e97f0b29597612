"""The command line: options in, one call, results to standard output, everything else to standard error."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from liqtape import __version__
from liqtape.cli.alarmreplay import alert_replay
from liqtape.cli.alarmtest import alert_test
from liqtape.cli.backtesting import backtest
from liqtape.cli.bench import bench
from liqtape.cli.check import check
from liqtape.cli.command import Command, Commands
from liqtape.cli.history import history
from liqtape.cli.initial import init
from liqtape.cli.logs import log_to_stderr
from liqtape.cli.normalizing import normalize
from liqtape.cli.rawframes import frames
from liqtape.cli.replaying import replay
from liqtape.cli.run import demo, record, run
from liqtape.cli.scoring import score
from liqtape.cli.simulating import simulate
from liqtape.cli.teaching import train
from liqtape.cli.unwinding import SIGNALS
from liqtape.cli.watching import watch
from liqtape.errors import ConfigurationError, LiqtapeError
from liqtape.sanitize import sanitize

__all__ = ["app", "main"]

_COMMANDS: tuple[tuple[Callable[..., Any], str], ...] = (
    (demo, "liqtape demo --seconds 20 --scenario calm"),
    (run, "liqtape run --symbol BTC --symbol ETH/USDT:USDT --redis redis://localhost:6379/1"),
    (watch, "liqtape watch http://127.0.0.1:8787"),
    (check, "liqtape check --config liqtape.toml"),
    (alert_test, "liqtape alert-test --channel phone"),
    (alert_replay, "liqtape alert-replay today --whole"),
    (init, "liqtape init --out liqtape.toml --schema"),
    (history, "liqtape history --from -2h --symbol BTCUSDT --every 300"),
    (record, "liqtape record --out today --venue bybit --seconds 3600"),
    (replay, "liqtape replay today --metrics rows.ndjson"),
    (backtest, "liqtape backtest today --report backtest.html"),
    (train, "liqtape train tapes --out cascades.json --coverage watched.csv"),
    (score, "liqtape score forecasts"),
    (frames, "liqtape frames today --venue bybit --bare | liqtape normalize --venue bybit"),
    (normalize, "liqtape normalize --venue bybit frames.jsonl > events.ndjson"),
    (simulate, "liqtape simulate --listen 127.0.0.1:9000 --scenario cascade"),
    (bench, "liqtape bench decode engine --quick"),
)
"""In the order in which a new user meets them, each with an example."""

app = typer.Typer(
    name="liqtape",
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 160},
)
for _command, _example in _COMMANDS:
    app.command(cls=Command, epilog=f"Example: {_example}")(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 the answer is no, 2 cannot be asked like this."""
    command = typer.main.get_command(app)
    given = list(sys.argv[1:] if arguments is None else arguments)
    log_to_stderr()
    try:
        SIGNALS.install()
        with command.make_context("liqtape", given or ["--help"]) as context:
            code = command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except (typer.TyperException, LiqtapeError, OSError) as error:
        return _refused(error)
    return int(code or 0)


def _refused(error: Exception) -> int:
    """The error as one line, and its exit code."""
    code = 2
    text = f"liqtape: {error}"
    if isinstance(error, typer.TyperException):
        path = getattr(getattr(error, "ctx", None), "command_path", "liqtape")
        text = f"{path}: {_message(error)} See {path} --help"
    elif isinstance(error, BrokenPipeError):  # the reader has what it wanted, as in `| head`
        _abandon_stdout()
        return 0
    elif isinstance(error, OSError):
        _abandon_stdout()
        code = 1 if error.filename is None else 2  # with a name: a file that cannot be opened
    elif not isinstance(error, ConfigurationError):
        code = 1
    print(sanitize(text, 4_000), file=sys.stderr)
    return code


def _abandon_stdout() -> None:
    """Or the interpreter would fail once more at its end, when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _message(error: typer.TyperException) -> str:
    return error.format_message().replace("Value error, ", "")


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"liqtape {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Tell the version.")
    ] = False,
) -> None:
    """Liquidations of crypto derivatives venues as a live tape."""

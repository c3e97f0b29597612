"""The command `check`: configuration, Redis, disk, clock and every venue, a line each."""

import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from liqtape.errors import ConfigurationError, EmbeddedUnavailable
from liqtape.sanitize import sanitize
from liqtape.settings import COMMAND_DEFAULTS, Settings, load_settings, settings_file, variables_in
from liqtape.venues import VENUES, watched

if TYPE_CHECKING:  # the service is imported by the commands that run it
    from liqtape.feeds.venuecheck import Check
    from liqtape.instruments import Contract

__all__ = ["check"]

_EMBEDDED_SECONDS = 12.0
_LEAST_FREE = 100 * 1024 * 1024
_NAMED_FILES = 5
_SIGNS = {True: "ok  ", False: "FAIL", None: "-   "}


def check(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A liqtape.toml; default: the one here, if any.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,  # noqa: FBT002 - an option
    history: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--history", help="Compare each file of the history with its checksum, too.")
    ] = False,
) -> int:
    """Try everything `run` needs, and say what fails: configuration, Redis, disk, clock, each venue."""
    file = settings_file(config)
    settings = load_settings(file, None, None, frozenset(VENUES), watched, COMMAND_DEFAULTS)
    if not any(own.enabled for own in settings.venues.values()):
        raise ConfigurationError(f"no venue is enabled; known: {', '.join(VENUES)}")
    if not logging.getLogger().isEnabledFor(logging.INFO):  # unless asked for, a failure is told once, by its line
        logging.getLogger("liqtape").setLevel(logging.CRITICAL)
    with asyncio.Runner(loop_factory=_Loop) as runner:
        checks = (*_CHECKS, _whole_history) if history else _CHECKS
        found = runner.run(_report(settings, file, checks, print_lines=not as_json))
    failed = any(one.ok is False for one in found)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode({"ok": not failed, "checks": found}) + b"\n")
    return int(failed)


class _Loop(asyncio.SelectorEventLoop):
    """Names are looked up in threads that nobody waits for: one that hangs must not hold up the end."""

    async def getaddrinfo(self, host: Any, port: Any, *, family: int = 0, **_known: Any) -> Any:
        from liqtape.feeds.lookup import look_up

        return await look_up(host, port, family)


async def _report(settings: Settings, file: Path | None, checks: "Checks", *, print_lines: bool) -> list["Check"]:
    """All checks at once, told in their order as soon as they are there."""
    found: list[Check] = []
    async for one in _results(settings, file, checks):
        found.append(one)
        if print_lines:
            sys.stdout.write(f"{_SIGNS[one.ok]} {one.subject}: {_said(one)}\n")
            sys.stdout.flush()
    return found


def _said(one: "Check") -> str:
    text = f"{one.stage}: {one.detail}" if one.ok is False else one.detail
    return sanitize(text, 1_000)


async def _results(settings: Settings, file: Path | None, checks: "Checks") -> AsyncIterator["Check"]:
    from liqtape.feeds.venuecheck import Check, VenueCheck, check_clock, check_venue

    async def venue(name: str) -> VenueCheck:
        own = settings.venues[name]
        if not own.enabled:
            return VenueCheck([Check.left_out(name, "configuration", "disabled in the settings")])
        return await check_venue(VENUES[name], own, wanted=own.symbols or settings.symbols)

    loop = asyncio.get_running_loop()
    server = loop.create_task(_database(settings))
    others = [loop.create_task(checking(settings)) for checking in checks]
    venues = [loop.create_task(venue(name)) for name in settings.venues]
    yield _configuration(settings, file)
    for other in others:
        yield await other
    for one in await server:
        yield one
    lags: dict[str, int] = {}
    lists: dict[str, list[Contract]] = {}
    for name, task in zip(settings.venues, venues, strict=True):
        answer = await task
        for one in answer.checks:
            yield one
        if answer.lag_ms is not None:
            lags[name] = answer.lag_ms
        if settings.venues[name].enabled:
            lists[name] = answer.listed
    for one in _symbols(settings, lists):
        yield one
    yield check_clock(lags)


def _symbols(settings: Settings, lists: "Mapping[str, Sequence[Contract]]") -> list["Check"]:
    """Whether the symbols of the settings are listed; nothing where none are named."""
    from liqtape.cli.asked import unlisted
    from liqtape.feeds.venuecheck import Check
    from liqtape.symbols import Catalogue

    found = []
    asked = [("", settings.symbols, lists)]
    asked += [(name, settings.venues[name].symbols, {name: listed}) for name, listed in lists.items()]
    for name, symbols, there in asked:
        if not symbols or not any(there.values()):
            continue
        catalogue = Catalogue(contract for listed in there.values() for contract in listed)
        meant = {text: catalogue.meant(text) for text in symbols}
        subject = f"{name} symbols".strip()
        if absent := [text for text, instruments in meant.items() if not instruments]:
            found += [Check.failed(subject, "listed", unlisted(text, catalogue, list(there))) for text in absent]
        else:
            detail = ", ".join(dict.fromkeys(one for instruments in meant.values() for one in instruments))
            found.append(Check.passed(subject, "listed", detail))
    return found


def _configuration(settings: Settings, file: Path | None) -> "Check":
    from liqtape.feeds.venuecheck import Check

    variables = ", ".join(variables_in()) or "none"
    enabled = ", ".join(name for name, own in settings.venues.items() if own.enabled)
    detail = f"file: {file or 'none'}; environment: {variables}; venues: {enabled}"
    return Check.passed("configuration", "read", detail)


class _Failed(Exception):
    """A step that did not succeed: its name and why."""

    def __init__(self, stage: str, detail: str) -> None:
        super().__init__(detail)
        self.stage = stage


async def _redis(settings: Settings) -> "Check":
    from liqtape.feeds.venuecheck import Check

    url = settings.redis.url
    if url == "off":
        return Check.left_out("redis", "configuration", "off")
    began = time.monotonic()
    try:
        detail = await (_embedded(settings) if url == "embedded" else _answers(url, settings.redis.prefix))
    except _Failed as failed:
        return Check.failed("redis", failed.stage, str(failed), time.monotonic() - began)
    return Check.passed("redis", "write", detail, time.monotonic() - began)


async def _embedded(settings: Settings) -> str:
    """Start a server as `run` would, ask it, and stop it."""
    from liqtape.embedded import EmbeddedServer

    if settings.redis.persist:
        raise _Failed("configuration", "redis.persist: the embedded server needs a data_dir to keep its data in")
    server = EmbeddedServer(is_guarded=True, prefix=settings.redis.prefix)
    try:
        async with asyncio.timeout(_EMBEDDED_SECONDS):
            await server.start()
            return f"embedded: {await _answers(server.writer_url, settings.redis.prefix)}"
    except EmbeddedUnavailable as error:
        raise _Failed("start", str(error)) from error
    except TimeoutError:
        raise _Failed("start", f"the embedded server does not answer within {_EMBEDDED_SECONDS:g} s") from None
    finally:
        await server.stop()


async def _answers(url: str, prefix: str) -> str:
    """Connect, AUTH, version, and every command that will be used."""
    from liqtape.sinks.redis.commandcheck import check_redis

    found = await check_redis(url, prefix)
    if found.failed_stage:
        raise _Failed(found.failed_stage, found.detail)
    return found.detail


async def _database(settings: Settings) -> list["Check"]:
    """The PostgreSQL server of the history, if one is named, and what of TimescaleDB works there."""
    from liqtape.feeds.venuecheck import Check

    url = settings.history.url
    if url is None or not settings.history.is_server:
        return []
    from liqtape.sinks.postgres.servercheck import check_postgres

    began = time.monotonic()
    found = await check_postgres(url)
    seconds = time.monotonic() - began
    server = Check.failed if found.failed_stage else Check.passed
    lines = [server("postgres", found.failed_stage or "tables", found.detail, seconds)]
    return lines + [
        Check(f"postgres {one.name}", one.works or None, "tried", one.detail, 0.0) for one in found.features
    ]


async def _disk(settings: Settings) -> "Check":
    """The temporary directory, where the embedded server works."""
    from liqtape.feeds.venuecheck import Check

    if settings.redis.url != "embedded":
        return Check.left_out("disk", "configuration", "nothing is written")
    return _writable("disk", Path(tempfile.gettempdir()))


async def _history(settings: Settings) -> "Check":
    """The directory of the history, made by the first run; whoever writes there now may go on."""
    from liqtape.feeds.venuecheck import Check

    if settings.history.url == "off":
        return Check.left_out("history", "configuration", "off")
    folder = _history_folder(settings)
    return _writable("history", next((path for path in (folder, *folder.parents) if path.exists()), folder))


def _history_folder(settings: Settings) -> Path:
    """Where the log is, or will be made."""
    from liqtape.history.log.directories import data_directory, history_directory

    data_dir = data_directory()
    return history_directory(settings.history, data_dir) or data_dir / "history"


async def _whole_history(settings: Settings) -> "Check":
    """Every sealed file and the database, as `liqtape check --history` asks."""
    from liqtape.feeds.venuecheck import Check
    from liqtape.history.archive.verify import verify
    from liqtape.history.log.layout import DATABASE

    subject = "history files"
    if settings.history.url == "off":
        return Check.left_out(subject, "configuration", "off")
    folder = _history_folder(settings)
    if not (folder / DATABASE).exists():
        return Check.left_out(subject, "reading", f"{folder} has no history yet")
    began = time.monotonic()
    verdict = await asyncio.to_thread(verify, folder)
    seconds = time.monotonic() - began
    if verdict.is_sound:
        said = f"{verdict.files:,} files in {folder} are as they were written, {DATABASE} is whole"
        return Check.passed(subject, "reading", said, seconds)
    some = ", ".join(verdict.damaged[:_NAMED_FILES])
    more = f" and {len(verdict.damaged) - _NAMED_FILES} more" if len(verdict.damaged) > _NAMED_FILES else ""
    files = f"{len(verdict.damaged)} of {verdict.files:,} files are damaged: {some}{more}" if verdict.damaged else ""
    said = "; ".join(filter(None, [files, verdict.database]))
    return Check.failed(subject, "reading", f"{folder}: {said}", seconds)


def _writable(subject: str, folder: Path) -> "Check":
    from liqtape.feeds.venuecheck import Check

    began = time.monotonic()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"liqtape")
            file.flush()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check.failed(subject, "write", str(error), time.monotonic() - began)
    detail = f"{folder} is writable, {free / 1e9:.1f} GB free"
    if free < _LEAST_FREE:
        return Check.failed(subject, "space", f"{detail}; at least {_LEAST_FREE / 1e9:.1f} GB are needed")
    return Check.passed(subject, "space", detail, time.monotonic() - began)


Checks = tuple[Callable[[Settings], Coroutine[Any, Any, "Check"]], ...]

_CHECKS: Checks = (_redis, _disk, _history)
"""Adding a check is a function like these, and its name here."""

"""Connecting to PostgreSQL, in the one way that the sink, the readers and `check` share, and what its errors mean."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.sanitize import sanitize

if TYPE_CHECKING:
    from asyncpg import Connection

__all__ = ["CONNECT_SECONDS", "check_url", "committed", "connect", "connected", "explained", "failures", "unfit"]

CONNECT_SECONDS = 5.0
_VERIFIED = frozenset({"require", "verify-ca", "verify-full"})
_UNUSABLE = (
    "the PostgreSQL URL is not usable: write postgresql://user@host:port/database "
    "(special characters of a password percent-encoded)"
)


def check_url(url: str) -> None:
    """Raises MissingExtra, or ConfigurationError where the URL leads nowhere; connects nowhere."""
    _library()
    try:
        place = urlsplit(url)
        usable = place.scheme in {"postgresql", "postgres"} and place.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(_UNUSABLE)  # without a cause: its text may quote a piece of the password


async def connect(url: str, answer_seconds: float | None) -> "Connection":
    """A session; later calls on it wait `answer_seconds` for the server.

    Raises ConfigurationError where the URL is unusable, and any of `failures()`.
    """
    asyncpg = _library()
    unusable: tuple[type[Exception], ...] = (ValueError, asyncpg.exceptions.ClientConfigurationError)
    try:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_SECONDS,
            command_timeout=answer_seconds,
            ssl=_verifying(url),
            server_settings={"application_name": "liqtape"},
        )
    except ssl.SSLError:  # a certificate that is refused is a ValueError as well
        raise
    except unusable:
        pass
    raise ConfigurationError(_UNUSABLE)


def _verifying(url: str) -> ssl.SSLContext | None:
    """What the server's certificate is verified with where the URL wants TLS and names no authority: the system's.

    None leaves it to asyncpg, which without an authority would take any certificate for `require`, and look for one in
    a single file only for `verify-*`.
    """
    asked = dict(parse_qsl(urlsplit(url).query))
    mode = asked.get("sslmode") or os.environ.get("PGSSLMODE")
    named = asked.get("sslrootcert") or os.environ.get("PGSSLROOTCERT")
    if mode not in _VERIFIED or named or (Path.home() / ".postgresql" / "root.crt").exists():
        return None
    context = ssl.create_default_context()
    context.check_hostname = mode != "verify-ca"
    if "sslcert" in asked:
        context.load_cert_chain(asked["sslcert"], asked.get("sslkey"), asked.get("sslpassword"))
    return context


@asynccontextmanager
async def connected(url: str, answer_seconds: float | None = None) -> AsyncIterator["Connection"]:
    """As `connect`, for the block."""
    connection = await connect(url, answer_seconds)
    try:
        yield connection
    finally:
        connection.terminate()  # nothing is left to say, and a dead server would not answer a good-bye


@asynccontextmanager
async def committed(connection: "Connection") -> AsyncIterator[None]:
    """A transaction: committed at the end of the block, rolled back by an error.

    Where the server does not answer, or nobody waits for it any more, the session ends: asyncpg's own transaction would
    then ask it to roll back, and wait.
    """
    try:
        await connection.execute("BEGIN")
        yield
        await connection.execute("COMMIT")
    except (TimeoutError, asyncio.CancelledError):
        connection.terminate()
        raise
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise


def failures() -> tuple[type[Exception], ...]:
    """What a server that is away, refuses or is out of something raises."""
    asyncpg = _library()
    # The internal one comes where a session is ended by the server just while it is spoken to.
    return (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


def unfit() -> tuple[type[Exception], ...]:
    """What a row that the tables cannot hold raises: a text with a null character, one too long for an index."""
    asyncpg = _library()
    return (asyncpg.DataError, asyncpg.ProgramLimitExceededError, UnicodeError, OverflowError)


def explained(error: Exception) -> str:
    """One line, with the server's code of the error where it gave one."""
    text = sanitize(str(error), 400) or type(error).__name__
    if isinstance(error, TimeoutError) and not error.args:
        text = "no answer in time"
    code = getattr(error, "sqlstate", None)
    return f"{text} ({code})" if code else text


def _library() -> Any:
    try:
        import asyncpg
    except ImportError as error:
        raise MissingExtra("a PostgreSQL history", "postgres") from error
    return asyncpg

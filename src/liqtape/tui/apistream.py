"""The API of a running instance: one question before the screen is taken, then its stream for as long as we look."""

import asyncio
import os
from collections.abc import Callable
from itertools import chain, repeat
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from liqtape.errors import ConfigurationError, LiqtapeError
from liqtape.sanitize import sanitize, without_credentials
from liqtape.tui.apirecords import SeenHealth, SeenMessage, SeenNow

__all__ = ["DEFAULT_URL", "ApiStream", "NothingRuns"]

DEFAULT_URL = "http://127.0.0.1:8787"

_FIRST_SECONDS = 5.0
_SILENT_SECONDS = 10.0  # a message comes once a second
_PAUSES = (0.5, 1.0, 2.0)  # between attempts, then
_LONGEST_PAUSE = 4.0
_MOST_BYTES = 64 << 20  # of one message
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

T = TypeVar("T")


class NothingRuns(LiqtapeError):
    """Nothing answers at the address; the message says what to start."""


class ApiStream:
    """Reads the API at `url`, with the token if there is one, inside an `async with` block."""

    def __init__(self, url: str, token: str | None = None, pauses: tuple[float, ...] = _PAUSES) -> None:
        self.url = url.rstrip("/")
        self._host = _host_of(url)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._pauses = pauses
        self._last_id: str | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # A proxy is not asked for what is on this machine.
        self._session = aiohttp.ClientSession(headers=self._headers, trust_env=self._host not in _LOOPBACK)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def now(self) -> SeenNow:
        """Ask once. Raises NothingRuns where nothing answers, ConfigurationError where something else does."""
        return await self._answer("/api/v1/now", SeenNow)

    async def health(self) -> SeenHealth | None:
        """Return the health of the instance; None while it does not answer."""
        try:
            return await self._answer("/api/v1/health", SeenHealth)
        except LiqtapeError:
            return None

    async def _answer(self, path: str, kind: type[T]) -> T:
        timeout = aiohttp.ClientTimeout(total=_FIRST_SECONDS)
        try:
            async with self._connected().get(f"{self.url}{path}", timeout=timeout) as response:
                self._check(response.status)
                return msgspec.json.decode(await response.read(), type=kind)
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            raise NothingRuns(f"{self._nothing()} ({_reason(error)})") from error
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"watch: {self.url} answers, but not as liqtape does: {error}") from error

    def _check(self, status: int) -> None:
        if status in {401, 403}:
            raise ConfigurationError(f"watch: {self.url} wants its token: set LIQTAPE_WEB_TOKEN")
        if status == 503:
            raise NothingRuns(f"{self.url} is busy: too many readers; try again")
        if status != 200:
            raise ConfigurationError(f"watch: {self.url} answers, but not as liqtape does: status {status}")

    def _nothing(self) -> str:
        return f"nothing answers at {self.url}; start it with `liqtape run` or `liqtape demo`"

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("not inside its block")
        return self._session

    async def run(self, take: Callable[[SeenMessage], object], lose: Callable[[str], object]) -> None:
        """Hand each message to `take`, and to `lose` why none comes; connects again until it is cancelled."""
        pauses = chain(self._pauses, repeat(_LONGEST_PAUSE))

        def taken(message: SeenMessage) -> None:
            nonlocal pauses
            pauses = chain(self._pauses, repeat(_LONGEST_PAUSE))
            take(message)

        while True:
            try:
                await self._listen(taken)
                lose("it ended the stream")
            except (OSError, TimeoutError, aiohttp.ClientError, LiqtapeError, msgspec.MsgspecError) as error:
                lose(_reason(error))
            await asyncio.sleep(next(pauses))

    async def _listen(self, take: Callable[[SeenMessage], object]) -> None:
        headers = {"Accept": "text/event-stream"}
        if self._last_id is not None:
            headers["Last-Event-ID"] = self._last_id
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_FIRST_SECONDS, sock_read=_SILENT_SECONDS)
        url = f"{self.url}/api/v1/stream"
        async with self._connected().get(url, headers=headers, timeout=timeout) as response:
            self._check(response.status)
            received = bytearray()
            async for piece in response.content.iter_any():
                received += piece
                while (end := received.find(b"\n\n")) >= 0:
                    self._read(bytes(received[:end]), take)
                    del received[: end + 2]
                if len(received) > _MOST_BYTES:
                    raise LiqtapeError("a message that does not end")

    def _read(self, event: bytes, take: Callable[[SeenMessage], object]) -> None:
        data = b""
        for line in event.split(b"\n"):
            name, _, value = line.partition(b":")
            if name == b"data":
                data += value
            elif name == b"id":
                self._last_id = value.strip().decode("ascii", "replace")
        if data:
            take(msgspec.json.decode(data, type=SeenMessage))


def _host_of(url: str) -> str:
    said = sanitize(without_credentials(url))
    try:
        parts = urlsplit(url)
        is_fit = parts.scheme in {"http", "https"} and parts.hostname and not (parts.query or parts.fragment)
        parts.port  # noqa: B018 - raises ValueError for what is no port
    except ValueError:
        is_fit = False
    if not is_fit:
        raise ConfigurationError(f"watch: {said!r} is no address of liqtape; write it as {DEFAULT_URL}")
    return parts.hostname or ""


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and (error.os_error.errno or 0) > 0:
        return os.strerror(error.os_error.errno or 0)
    return sanitize(str(error) or type(error).__name__)

"""A WebSocket as callbacks: whole messages in, frames out, and in the end one named reason why it is gone."""

import asyncio
import functools
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSParsedURL,
    WSTransport,
    ws_connect,
)
from python_socks import ProxyConnectionError, ProxyError

from liqtape.feeds.dial import dial, release
from liqtape.feeds.disconnects import Disconnected, closed_by_us, named, printable
from liqtape.feeds.proxies import proxy_of

__all__ = ["MAX_MESSAGE", "MOST_UNREAD", "Connect", "Socket", "WebSocket", "open_socket", "verifying_context"]

MAX_MESSAGE = 4 * 1024 * 1024
"""Bytes of one message, fragments joined; a longer one ends the connection."""

MOST_UNREAD = 64 * 1024
"""Bytes we sent and the peer did not take; more end the connection. All we say in an hour is less."""

_CLOSE_SECONDS = 1.0
_TEXT = WSMsgType.TEXT
_UNREAD_CODE = WSCloseCode.POLICY_VIOLATION
# Private and mute: what the library would say per connection is said once per cause by ours.
_MUTE = logging.Logger("liqtape.feeds.transport", logging.CRITICAL + 1)  # noqa: LOG001 - in nobody's tree


class Socket(Protocol):
    """An open connection."""

    lost: Disconnected | None
    """Why it is gone; None while it is open."""

    def send(self, frame: bytes) -> None:
        """Send a text frame; nothing happens when the connection is gone."""

    def pause(self) -> None:
        """Read nothing until `resume`."""

    def resume(self) -> None:
        """Read again, if it was paused."""

    async def close(self, code: int = 1000) -> None:
        """Close frame, a second for the peer's answer, then the hard way."""


class Connect(Protocol):
    """Opens a connection: `receive` gets each message, `on_lost` is called once it is gone. Raises Lost."""

    async def __call__(
        self,
        url: str,
        receive: Callable[[bytes], None],
        on_lost: Callable[[], None],
        ssl_context: ssl.SSLContext | None,
    ) -> Socket: ...


class WebSocket(WSListener):
    """The picows side. An error out of `receive` ends the connection as `internal`, the error as its `__cause__`."""

    def __init__(self, receive: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        self.lost: Disconnected | None = None
        self.transport: WSTransport | None = None
        self._receive = receive
        self._on_lost = on_lost
        self._partial: bytearray | None = None
        self._ending: Disconnected | None = None
        self._closing = self._is_paused = False
        self._gone = asyncio.Event()

    def send(self, frame: bytes) -> None:
        """Send a text frame; nothing happens when the connection is gone."""
        if self.transport is not None:
            self.transport.send(_TEXT, frame)
            self._look_at_unread(self.transport)

    def pause(self) -> None:
        """Read nothing until `resume`."""
        if self.transport is not None and not self._is_paused:
            self._is_paused = True
            self.transport.underlying_transport.pause_reading()

    def resume(self) -> None:
        """Read again, if it was paused."""
        if self.transport is not None and self._is_paused:
            self._is_paused = False
            self.transport.underlying_transport.resume_reading()

    async def close(self, code: int = 1000) -> None:
        """Close frame, a second for the peer's answer, then the hard way."""
        self.resume()
        transport = self.transport
        if transport is None:
            return
        self._closing = True
        try:
            if self.lost is None:
                transport.send_close(WSCloseCode(code))
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._gone.wait()
        finally:
            transport.disconnect(graceful=False)
        with suppress(WSError):  # what picows closed for is in `lost`; nobody else asks its future
            await transport.wait_disconnected()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport; picows calls it."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Deliver a message; picows calls it for every frame."""
        kind = frame.msg_type
        payload: bytes | None
        if kind is _TEXT and frame.fin and self._partial is None:
            payload = frame.get_payload_as_bytes()
        else:
            payload = self._unusual(transport, kind, frame)
            if payload is None:
                return
        if len(payload) > MAX_MESSAGE:
            # picows has sent its close frame at the head of this one, but hangs up a moment later.
            self._end(transport, _too_big(len(payload)), WSCloseCode.MESSAGE_TOO_BIG)
            return
        try:
            self._receive(payload)
        except Exception as error:  # noqa: BLE001 - the callback guard: counted and logged by the runner
            lost = Disconnected("internal", f"our own error: {type(error).__name__}: {error}")
            lost.__cause__ = error
            self._end(transport, lost, WSCloseCode.INTERNAL_ERROR)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Name the reason and tell of the end; picows calls it."""
        self.lost = self._ending or closed_by_us(transport)
        self._gone.set()
        self._on_lost()

    def _unusual(self, transport: WSTransport, kind: WSMsgType, frame: WSFrame) -> bytes | None:
        """Return the message that a binary frame or a last fragment completes."""
        if kind is WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
            self._look_at_unread(transport)
        elif kind is WSMsgType.CLOSE:
            self._answer_close(transport, frame.get_payload_as_bytes())
        elif kind is WSMsgType.CONTINUATION and self._partial is not None:
            self._partial += frame.get_payload_as_bytes()
            if len(self._partial) > MAX_MESSAGE:
                self._end(transport, _too_big(len(self._partial)), WSCloseCode.MESSAGE_TOO_BIG)
            elif frame.fin:
                whole, self._partial = bytes(self._partial), None
                return whole
        elif kind is WSMsgType.CONTINUATION or (kind in {_TEXT, WSMsgType.BINARY} and self._partial is not None):
            self._end(transport, Disconnected("protocol", "fragments out of order"), WSCloseCode.PROTOCOL_ERROR)
        elif kind is _TEXT or kind is WSMsgType.BINARY:
            if frame.fin:
                return frame.get_payload_as_bytes()
            self._partial = bytearray(frame.get_payload_as_bytes())
        return None

    def _look_at_unread(self, transport: WSTransport) -> None:
        """End the connection to a peer that takes nothing of what it is sent: it would fill memory."""
        unread = transport.underlying_transport.get_write_buffer_size()
        if unread > MOST_UNREAD and self._ending is None:
            self._end(transport, Disconnected("unread", f"the venue does not read: {unread} bytes wait"), _UNREAD_CODE)

    def _answer_close(self, transport: WSTransport, payload: bytes) -> None:
        code = int.from_bytes(payload[:2]) if len(payload) >= 2 else 1005
        said = printable(payload[2:])
        lost = Disconnected(f"closed_{code}", f"closed by the venue with code {code}" + (f": {said}" if said else ""))
        self._end(transport, lost, WSCloseCode.OK)

    def _end(self, transport: WSTransport, lost: Disconnected, code: WSCloseCode) -> None:
        """End the connection. The first reason counts; what still stands in the buffer is not delivered."""
        if self._ending is None:
            # A close frame that is not ours went out because picows found fault first.
            self._ending = closed_by_us(transport) if transport.is_close_frame_sent and not self._closing else lost
        self._receive = _ignore
        self._partial = None
        transport.send_close(code)
        transport.disconnect()
        # A peer that reads nothing would keep the unsent rest, and with it the connection, for ever.
        asyncio.get_running_loop().call_later(_CLOSE_SECONDS, functools.partial(transport.disconnect, graceful=False))


async def open_socket(
    url: str,
    receive: Callable[[bytes], None],
    on_lost: Callable[[], None],
    ssl_context: ssl.SSLContext | None = None,
) -> WebSocket:
    """Connect, through the proxy of the environment if there is one, and shake hands. Raises Lost.

    Certificates are verified unless `ssl_context` says otherwise. No deadline: the caller's timeout may cancel it at
    any point, nothing stays open.
    """
    listener = WebSocket(receive, on_lost)
    dialled: list[socket.socket] = []

    async def dialled_for(to: WSParsedURL) -> socket.socket:
        dialled.append(await dial(to.host, to.port))
        return dialled[0]

    secure = url.startswith("wss:")
    try:
        await ws_connect(
            lambda *_: listener,
            url,
            ssl_context=(ssl_context or verifying_context()) if secure else None,
            websocket_handshake_timeout=None,
            logger_name=_MUTE,
            max_frame_size=MAX_MESSAGE,
            enable_auto_pong=False,  # it would queue an answer to each ping of a peer that reads none
            max_redirects=0,
            proxy=proxy_of(url),
            socket_factory=dialled_for,
            ssl_shutdown_timeout=_CLOSE_SECONDS if secure else None,
        )
        if listener.transport is None:
            raise ConnectionResetError("closed before the handshake was answered")
    except BaseException as error:
        for sock in dialled:
            await release(sock)
        if isinstance(error, OSError | WSError | ValueError | ProxyError | ProxyConnectionError):
            raise named(error) from error
        raise
    return listener


@functools.cache
def verifying_context() -> ssl.SSLContext:
    """Return what connections are verified with unless the caller brings a context."""
    return ssl.create_default_context()  # reads all root certificates: once, not at every attempt


def _ignore(payload: bytes) -> None:
    """Drop what comes after the end."""


def _too_big(size: int) -> Disconnected:
    return Disconnected("too_big", f"a message of {size} bytes or more, {MAX_MESSAGE} are allowed")

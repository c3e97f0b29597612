"""Why a connection is gone: one short stable name and one sentence, whatever library said it how."""

import re
import socket
import ssl

from picows import WSCloseCode, WSHandshakeError, WSTransport
from python_socks import ProxyConnectionError, ProxyError

from liqtape.errors import LiqtapeError
from liqtape.sanitize import sanitize, without_credentials

__all__ = ["Disconnected", "closed_by_us", "named", "printable"]

_RETRY_AFTER = re.compile(rb"^retry-after:([^\r\n]{1,60})", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})")


class Disconnected(LiqtapeError):
    """Why a connection ended or never began: `cause` is short and stable, the text is for people and fit for a line.

    `status` and `retry_after` are those of the answer, where it was an answer of HTTP.
    """

    def __init__(self, cause: str, text: str, status: int = 0, retry_after: str | None = None) -> None:
        super().__init__(sanitize(without_credentials(text), 400))
        self.cause = cause
        self.status = status
        self.retry_after = retry_after


def named(error: Exception) -> Disconnected:  # noqa: PLR0911 - one line for each kind
    """Return the reason in an error of connecting."""
    text = str(error) or type(error).__name__
    if isinstance(error, WSHandshakeError):
        return _refused_handshake(error)
    if isinstance(error, ProxyError | ProxyConnectionError):
        return Disconnected("proxy", f"the proxy of the environment: {text}")
    if isinstance(error, socket.gaierror | UnicodeError):
        return Disconnected("dns", f"name not resolved: {text}")
    if isinstance(error, ssl.SSLError):
        return Disconnected("tls", f"TLS: {text}")
    if isinstance(error, TimeoutError):
        return Disconnected("timeout", f"no answer: {text}")
    if isinstance(error, ConnectionRefusedError):
        return Disconnected("refused", f"connection refused: {text}")
    if isinstance(error, ConnectionError):
        return Disconnected("closed_1006", f"connection lost in the handshake: {text}")
    return Disconnected("network" if isinstance(error, OSError) else "address", text)


def _refused_handshake(error: WSHandshakeError) -> Disconnected:
    status = _STATUS.match(error.raw_header or b"")
    if status is None or status[1] == b"101":
        return Disconnected("handshake", f"not a WebSocket handshake: {printable(str(error).encode())}")
    code, said = status[1].decode(), printable(error.raw_body or b"")
    named_time = _RETRY_AFTER.search(error.raw_header or b"")
    retry_after = None if named_time is None else named_time[1].decode("ascii", "replace").strip()
    text = f"HTTP {code} at the handshake" + (f": {said}" if said else "")
    return Disconnected(f"http_{code}", text, int(code), retry_after)


def closed_by_us(transport: WSTransport) -> Disconnected:
    """Return the reason when no close frame came: what picows complained about, or nothing at all."""
    sent = transport.close_handshake.sent if transport.is_close_frame_sent else None
    if sent is None or sent.code == WSCloseCode.OK:
        return Disconnected("closed_1006", "connection lost without a close frame")
    return Disconnected("too_big" if sent.code == WSCloseCode.MESSAGE_TOO_BIG else "protocol", sent.reason)


def printable(said: bytes) -> str:
    """Make a stranger's words fit for one line of a log."""
    return sanitize(said[:1_000].decode(errors="replace"), 120)

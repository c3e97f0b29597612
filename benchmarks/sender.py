"""A venue's server reduced to what a benchmark needs, for a process of its own: one thread, one thing at a time.

    python -m benchmarks.sender CERTIFICATE     (commands on standard input, answers on standard output, JSON lines)

Serves TLS and plain on one port: the list of instruments over HTTP, WebSockets that acknowledge subscriptions and send
one trade. Then, on command, liquidations to whoever subscribed to them: as fast as the receiver reads, or paced.
"""

import base64
import hashlib
import json
import select
import socket
import ssl
import sys
import time
from typing import Any

from benchmarks.frames import SYMBOLS, binance, bybit, bybit_batch

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK = 65_536
_FOLLOWED = ("!forceOrder@arr", f"allLiquidation.{SYMBOLS[0]}")
_CLOCK_TRADES = 5
"""So many make the clock of a venue known; before, events wait for it."""

_TRADES = {
    "binance": '{"e":"aggTrade","E":%d,"a":1,"s":"BTCUSDT","p":"80000.1","q":"0.01","f":1,"l":1,"T":%d,"m":true}',
    "bybit": '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":%d,"data":[{"T":%d,"s":"BTCUSDT","S":"Buy",'
    '"v":"0.01","p":"80000.1","L":"PlusTick","i":"x","BT":false}]}',
}


def framed(payload: bytes, opcode: int = 1) -> bytes:
    """One unmasked WebSocket frame, as servers send them."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, length)) + payload
    return bytes((0x80 | opcode, 126)) + length.to_bytes(2) + payload


class _Peer:
    """One WebSocket client."""

    def __init__(self, sock: socket.socket, venue: str) -> None:
        self.sock = sock
        self.venue = venue
        self.follows = False
        self._unread = b""

    def read(self) -> bool:
        """Answer what has come; False once the client is gone."""
        try:
            received = self.sock.recv(_CHUNK)
            if not received:
                return False
            self._unread += received
            while (frame := self._frame()) is not None:
                opcode, payload = frame
                if opcode == 8:
                    self.sock.sendall(framed(payload[:2], 8))
                    return False
                if opcode == 9:
                    self.sock.sendall(framed(payload, 10))
                elif opcode == 1:
                    self._answer(json.loads(payload))
        except OSError:
            return False
        return True

    def _frame(self) -> tuple[int, bytes] | None:
        head = self._unread
        if len(head) < 6:
            return None
        length, start = head[1] & 127, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(head[2:start])
        end = start + 4 + length
        if len(head) < end:
            return None
        mask, body = head[start : start + 4], head[start + 4 : end]
        self._unread = head[end:]
        return head[0] & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(body))

    def _answer(self, request: dict[str, Any]) -> None:
        now = time.time_ns() // 1_000_000
        if request.get("op") == "ping":
            self.sock.sendall(framed(b'{"success":true,"ret_msg":"pong","conn_id":"x","op":"ping"}'))
            return
        topics = request.get("args") or request.get("params") or []
        answer: dict[str, Any] = {"result": None, "id": request.get("id")}
        if self.venue == "bybit":
            answer = {"success": True, "ret_msg": "", "conn_id": "x", "req_id": request["req_id"], "op": "subscribe"}
        self.follows = self.follows or any(topic in _FOLLOWED for topic in topics)
        trade = framed((_TRADES[self.venue] % (now, now)).encode())
        self.sock.sendall(framed(json.dumps(answer).encode()) + _CLOCK_TRADES * trade)


class _Server:
    def __init__(self, certificate: str) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._peers: list[_Peer] = []
        self._frames: list[bytes] = []
        _tell({"port": self._listener.getsockname()[1]})

    def serve(self) -> None:
        """Until standard input ends."""
        while True:
            waiting: list[Any] = [0, self._listener, *(peer.sock for peer in self._peers)]
            ready, _, _ = select.select(waiting, [], [])
            if self._listener in ready:
                self._accept()
            for peer in [peer for peer in self._peers if peer.sock in ready]:
                if not peer.read():
                    self._peers.remove(peer)
                    peer.sock.close()
            if 0 in ready:
                line = sys.stdin.buffer.readline()
                if not line:
                    return
                self._obey(**json.loads(line))

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if sock.recv(1, socket.MSG_PEEK) == b"\x16":
                sock = self._tls.wrap_socket(sock, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head:
                received = sock.recv(_CHUNK)
                if not received:
                    raise ConnectionResetError("closed in the handshake")
                head += received
            if b"upgrade: websocket" in head.lower():
                self._welcome(sock, head)
            else:
                _list_instruments(sock, head)
        except OSError:
            sock.close()

    def _welcome(self, sock: socket.socket, head: bytes) -> None:
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
        accept = base64.b64encode(hashlib.sha1(key.split(b":", 1)[1].strip() + _GUID).digest())
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._peers.append(_Peer(sock, "bybit" if b"/v5/" in head.partition(b"\r\n")[0] else "binance"))

    def _obey(self, do: str, **options: Any) -> None:
        if do == "make":
            self._frames = list(made(**options))
            _tell({"made": len(self._frames)})
            return
        followers = [peer.sock for peer in self._peers if peer.follows]
        if len(followers) != 1:
            _tell({"error": f"{len(followers)} followers"})
            return
        try:
            sent = self._flood(followers[0]) if do == "flood" else self._pace(followers[0], **options)
        except OSError as error:
            sent = {"error": str(error)}
        _tell(sent)

    def _flood(self, sock: socket.socket) -> dict[str, Any]:
        sent = b"".join(framed(frame) for frame in self._frames)
        began = time.perf_counter_ns()
        for start in range(0, len(sent), _CHUNK):
            sock.sendall(sent[start : start + _CHUNK])
        return {"seconds": (time.perf_counter_ns() - began) / 1e9}

    def _pace(self, sock: socket.socket, per_second: float) -> dict[str, Any]:
        """Each frame in a segment of its own; the stamps are those of just before the call that sends."""
        frames = [framed(frame) for frame in self._frames]
        stamps = []
        begin = time.perf_counter_ns() + 1_000_000
        for i, frame in enumerate(frames):
            wait = begin + i * 1e9 / per_second - time.perf_counter_ns()
            if wait > 0:
                time.sleep(wait / 1e9)
            stamps.append(time.perf_counter_ns())
            sock.sendall(frame)
        return {"stamps": stamps}


def made(venue: str, count: int, rows: int, begin_ms: int, per_second: float) -> list[bytes]:
    """Frames of `count` events at a rate in event time; the same again for the same arguments."""
    if rows == 1:
        make = {"binance": binance, "bybit": bybit}[venue]
        return [make(i, begin_ms + int(i * 1000 / per_second)) for i in range(count)]
    return [bybit_batch(i, begin_ms + int(i * 1000 / per_second), rows) for i in range(0, count, rows)]


def _list_instruments(sock: socket.socket, head: bytes) -> None:
    listed: dict[str, Any] = {"symbols": [{"symbol": symbol} for symbol in SYMBOLS]}
    if b"/v5/" in head:
        symbols = ["BTCUSD"] if b"inverse" in head else SYMBOLS
        listed = {"result": {"list": [{"symbol": symbol} for symbol in symbols], "nextPageCursor": ""}}
    body = json.dumps(listed).encode()
    sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    sock.close()


def _tell(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _Server(sys.argv[1]).serve()

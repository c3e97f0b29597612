"""A PostgreSQL of the world, behind what asyncpg calls a connection: it dies, hangs, refuses, and hangs up."""

import asyncio
import importlib
import random
from collections import deque
from collections.abc import Sequence
from typing import Any

from chaos.virtual.servertables import Refused, ServerTables, Transaction, statement_of
from chaos.virtual.world import VirtualWorld

__all__ = ["VirtualPostgres"]

asyncpg: Any = importlib.import_module("asyncpg")  # not annotated

_REFUSALS = {"readonly": "ReadOnlySQLTransactionError", "full": "DiskFullError"}
_WAY_SECONDS = 0.0003
_SLOW_SECONDS = (0.1, 4.0)
_LOST_SECONDS = 20.0  # the most that a failover takes back
_HOW_OFTEN = 0.3  # a connection is cut at a statement, while they are
_CONNECT_SECONDS = 0.002


class _Session:
    """The server's end: obeys what it hears, in order. A transaction lives in it alone until it is committed."""

    def __init__(self, server: "VirtualPostgres", client: "_Client") -> None:
        self.heard: deque[tuple[str, Sequence[Any]] | None] = deque()
        self.is_over = False
        self._server = server
        self._client = client
        self._transaction: Transaction | None = None
        self._has_failed = False  # within the transaction
        self._is_unplugged = self._is_busy = False
        self._idle_seconds: float | None = None

    def hear(self, statement: tuple[str, Sequence[Any]] | None) -> None:
        """Take in a statement, or that the client is gone."""
        self.heard.append(statement)
        self.go_on()

    def go_on(self) -> None:
        """Obey what is due and can be done now."""
        server = self._server
        while self.heard and not (self.is_over or self._is_unplugged or self._is_busy or server.fault == "stuck"):
            first = self.heard[0]
            if first is None:
                self.end()
                return
            if server.fault == "slow":
                self._is_busy = True
                server.world.after(server.dice.uniform(*_SLOW_SECONDS), self._obey_late)
                return
            if not self._obey(*first):
                return

    def end(self) -> None:
        """End: what is not committed is rolled back."""
        if not self.is_over:
            self.is_over = True
            self._server.forget(self)

    def hang_up(self) -> None:
        """End, and let the client notice."""
        client = self._client
        self.end()
        self._server.world.after(_WAY_SECONDS, lambda: client.lose(_error("ConnectionDoesNotExistError")))

    def _obey_late(self) -> None:
        self._is_busy = False
        if not self.is_over and self.heard[0] is not None and self._obey(*self.heard[0]):
            self.go_on()

    def _obey(self, text: str, arguments: Sequence[Any]) -> bool:
        """Obey the first that was heard; return whether it was done, and was not to wait for a lock."""
        server, statement = self._server, statement_of(text)
        lock = "" if statement is None else statement.lock(arguments)
        if lock and server.locks.setdefault(lock, self) is not self:
            return False
        self.heard.popleft()
        is_breaking = self._transaction is not None and server.fault in {"cut", "answerless", "unplugged"}
        if is_breaking and server.dice.random() < _HOW_OFTEN:
            self._break(text)
            return False
        try:
            answer = self._answer(text, arguments)
        except Refused as refused:
            self._has_failed = self._transaction is not None
            answer = _error(str(refused))
        if self._transaction is None:
            server.unlock(self)
        client = self._client
        server.world.after(_WAY_SECONDS, lambda: client.hear(answer))
        return True

    def _answer(self, text: str, arguments: Sequence[Any]) -> Any:
        server, transaction = self._server, self._transaction
        if text == "BEGIN":
            self._transaction, self._has_failed = Transaction(server.tables), False
            return "BEGIN"
        if text in {"COMMIT", "ROLLBACK"}:
            if transaction is not None and text == "COMMIT" and not self._has_failed:
                server.tables.commit(transaction.changes, server.world.now_ns)
            self._transaction = None
            return text
        if self._has_failed and transaction is not None:
            raise Refused("InFailedSQLTransactionError")
        if text.startswith("SET idle_in_transaction_session_timeout = "):
            self._idle_seconds = int(text.rpartition(" ")[2]) / 1_000 or None
            return "SET"
        statement = statement_of(text)
        if statement is None:
            server.unknown.add(text)
            raise Refused("PostgresSyntaxError")
        if statement.is_write and server.fault in _REFUSALS:
            raise Refused(_REFUSALS[server.fault])
        if transaction is not None:
            return statement.run(transaction, *arguments)
        alone = Transaction(server.tables)
        answer = statement.run(alone, *arguments)
        server.tables.commit(alone.changes, server.world.now_ns)
        return answer

    def _break(self, text: str) -> None:
        """Lose the connection here: before it is done, after it is done, or so that the server does not notice."""
        server, fault = self._server, self._server.fault
        if text == "COMMIT" and (fault == "answerless" or (fault == "unplugged" and server.dice.random() < 0.5)):
            self._answer(text, ())
            server.unlock(self)
        if fault != "unplugged":
            self.hang_up()
            return
        self._is_unplugged = True
        if self._transaction is not None and self._idle_seconds is not None:
            server.world.after(self._idle_seconds, self.end)


class _Client:
    """What the product has: the part of `asyncpg.Connection` that it uses."""

    def __init__(self, server: "VirtualPostgres", seconds: float | None) -> None:
        self.session = _Session(server, self)
        self._server = server
        self._seconds = seconds
        self._answer: asyncio.Future[Any] | None = None
        self._is_closed = False

    async def execute(self, text: str, *arguments: Any) -> Any:
        """Ask, and wait for the answer."""
        return await self._ask(text, arguments)

    fetch = fetchrow = fetchval = execute

    async def executemany(self, text: str, rows: Sequence[Any]) -> None:
        """Ask with many rows at once."""
        await self._ask(text, (list(rows),))

    async def copy_records_to_table(self, _: str, *, records: Any, columns: Sequence[str]) -> None:  # noqa: ARG002
        """Bring rows into the session's own table."""
        await self._ask("COPY", (list(records),))

    def is_closed(self) -> bool:
        """Return whether it was closed, by whomever."""
        return self._is_closed

    def terminate(self) -> None:
        """Hang up."""
        if not self._is_closed:
            self.lose(_error("ConnectionDoesNotExistError"))
            session = self.session
            self._server.world.after(_WAY_SECONDS, lambda: session.hear(None))

    def hear(self, answer: Any) -> None:
        """Take in an answer."""
        if self._answer is not None and not self._is_closed:
            self._answer.get_loop().call_soon(_settle, self._answer, answer)

    def lose(self, error: Exception) -> None:
        """Notice that the connection is gone."""
        self.hear(error)
        self._is_closed = True
        self._server.clients.pop(self, None)

    def die(self) -> None:
        """Be no more, as the process is."""
        self._answer = None
        self.terminate()

    async def _ask(self, text: str, arguments: Sequence[Any]) -> Any:
        if self._is_closed:
            raise _error("InterfaceError")
        loop = asyncio.get_running_loop()
        self._answer = answer = loop.create_future()
        session = self.session
        self._server.world.after(_WAY_SECONDS, lambda: session.hear((text, arguments)))
        late = None if self._seconds is None else loop.call_later(self._seconds, _settle, answer, TimeoutError())
        try:
            return await answer
        finally:
            if late is not None:
                late.cancel()


class VirtualPostgres:
    """`fault` is "", or one of `POSTGRES_FAULTS`."""

    def __init__(self, world: VirtualWorld, seed: int) -> None:
        self.world = world
        self.dice = random.Random(f"postgres:{seed}")
        self.fault = ""
        self.tables = ServerTables()
        self.locks: dict[str, _Session] = {}
        self.clients: dict[_Client, None] = {}
        self.unknown: set[str] = set()
        self._sessions: dict[_Session, None] = {}

    async def connect(self, _: str, *, timeout: float, command_timeout: float | None, **__: Any) -> _Client:  # noqa: ASYNC109
        """Accept a connection."""
        await asyncio.sleep(_CONNECT_SECONDS)
        if self.fault in {"dead", "failover"}:
            raise ConnectionRefusedError(111, "connection refused")
        if self.fault == "starting":
            raise _error("CannotConnectNowError")
        if self.fault == "stuck":
            await asyncio.sleep(timeout)
            raise TimeoutError
        client = _Client(self, command_timeout)
        self.clients[client] = None
        self._sessions[client.session] = None
        return client

    def strike(self, fault: str) -> None:
        """Let a fault begin."""
        self.fault = fault
        if fault in {"dead", "starting", "failover"}:
            for session in list(self._sessions):
                session.hang_up()
        if fault == "failover":
            lost_ns = round(self.dice.uniform(0.0, _LOST_SECONDS) * 1e9)
            self.tables.go_back(self.world.now_ns - lost_ns)

    def calm(self) -> None:
        """Let the fault end."""
        self.fault = ""
        self._go_on()

    def forget(self, session: _Session) -> None:
        """Let a session go, with its locks."""
        self._sessions.pop(session, None)
        self.unlock(session)

    def unlock(self, session: _Session) -> None:
        """Give back the locks of a session, and let those go on that waited for them."""
        held = [lock for lock, holder in self.locks.items() if holder is session]
        for lock in held:
            del self.locks[lock]
        if held and len(self._sessions) > 1:
            self.world.after(0.0, self._go_on)

    def _go_on(self) -> None:
        for session in list(self._sessions):
            session.go_on()


def _error(kind: str) -> Exception:
    error: Exception = getattr(asyncpg, kind)(f"the world says {kind}")
    return error


def _settle(future: "asyncio.Future[Any]", answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)

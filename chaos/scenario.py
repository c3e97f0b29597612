"""One scenario from its seed to its verdict: simulator, proxies, servers and the service in a process of its own."""

import asyncio
import contextlib
import sqlite3
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import msgspec
import redis.asyncio
import trustme
from chaos.child import Child
from chaos.judge import Arrival, Evidence, Verdict, intervals, judged
from chaos.plan import SILENCE_LIMIT, VENUES, Plan
from chaos.proxy import FaultProxy
from chaos.selfreport import judge_windows, judge_worker
from chaos.servers import Postgres, Redis, postgres_programs
from chaos.strikes import Strikes
from chaos.worker import Answer, Config

from liqtape.events import NO_LIST, Liquidation
from liqtape.history.log.follow import Follower
from liqtape.history.log.layout import DATABASE
from liqtape.settings import VenueSettings
from liqtape.simulator import Delivered, Simulator
from liqtape.simulator.wire import Frame, SentRow

__all__ = ["Scenario"]

_START_SECONDS = 40.0
_SETTLE_SECONDS = 75.0  # Hyperliquid allows few attempts a minute
_MOST_PROBLEMS = 20
_OPEN_MS = 120_000


class Scenario:
    """Runs one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._published: list[Arrival] = []
        self._problems: list[str] = []
        self._unasked = self._messages = 0
        self.log = ""

    async def run(self) -> Verdict:
        """The verdict; what went wrong in the harness itself is one of its problems."""
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="liqtape-chaos-")))
            await self._build(stack, directory)
            try:
                verdict = await self._play()
            except (RuntimeError, TimeoutError, sqlite3.Error) as error:
                verdict = Verdict(self._plan.seed, problems=[f"{type(error).__name__}: {error}"])
            finally:
                await self._child.kill()
                self.log = self._child.log_tail()
        verdict.problems = [*self._problems, *verdict.problems][:_MOST_PROBLEMS]
        verdict.unasked = self._unasked
        verdict.seconds = round(time.monotonic() - began, 1)
        return verdict

    async def _build(self, stack: AsyncExitStack, directory: Path) -> None:
        plan = self._plan
        self._simulator = await stack.enter_async_context(
            Simulator(plan.market, plan.seed, plan.speed, faults=plan.faults, skew_ms=plan.skew_ms)
        )
        self._simulator.on_published(self._hear)
        port = int(self._simulator.ws_url("binance").split(":")[2].partition("/")[0])
        tls, ca = _certificate(directory) if plan.tls else (None, None)
        self._proxies = {
            venue: await stack.enter_async_context(FaultProxy(port, plan.seed * 10 + i, ssl_context=tls))
            for i, venue in enumerate(VENUES)
        }
        self._redis = Redis(directory)
        await self._redis.start()
        stack.push_async_callback(self._redis.kill)
        self._proxies["redis"] = await stack.enter_async_context(FaultProxy(self._redis.port, plan.seed))
        self._postgres = await self._database(stack)
        secure = "s" if plan.tls else ""
        config = Config(
            directory=str(directory),
            venues={
                venue: VenueSettings(
                    ws_url=f"ws{secure}://127.0.0.1:{self._proxies[venue].port}/{venue}",
                    rest_url=f"http{secure}://127.0.0.1:{self._proxies[venue].port}/{venue}",
                    redundancy=plan.redundancy[venue],
                )
                for venue in VENUES
            },
            redis=f"redis://127.0.0.1:{self._proxies['redis'].port}/1",
            history=str(directory / "history")
            if self._postgres is None
            else f"postgresql://liqtape@127.0.0.1:{self._proxies['postgres'].port}/postgres",
            silence_limit=SILENCE_LIMIT,
            ca=ca,
        )
        (directory / "config.json").write_bytes(msgspec.json.encode(config))
        self._directory = directory
        self._child = Child(directory / "config.json", directory / "worker.log")
        servers = {"redis": self._redis} | ({} if self._postgres is None else {"postgres": self._postgres})
        self._strikes = Strikes(self._simulator, self._proxies, servers, self._child)

    async def _database(self, stack: AsyncExitStack) -> Postgres | None:
        programs = postgres_programs()
        if not self._plan.has_postgres or programs is None:
            return None
        server = Postgres(programs)
        stack.push_async_callback(server.remove)
        await server.start()
        self._proxies["postgres"] = await stack.enter_async_context(FaultProxy(server.port, self._plan.seed))
        return server

    def _hear(self, frame: Frame) -> None:
        """What a venue publishes; symbols that nobody asked it for are counted apart."""
        at_ms = time.time() * 1000
        here = [c.client_session for c in self._simulator._connections if c.tally.venue == frame.rows[0].venue]
        subscribed = [talk for talk in here if talk.follows_liquidations]
        if subscribed and not any(talk.payloads(frame) for talk in subscribed):
            self._unasked += len(frame.rows)
            return
        self._messages += 1
        self._published += [Arrival(row, at_ms, (0, self._messages)) for row in frame.rows]

    async def _play(self) -> Verdict:
        await self._child.start()
        await self._until(_all_live, _START_SECONDS, "not every venue live at the start")
        began_ms = time.time() * 1000
        strikes = [asyncio.create_task(self._strikes.strike(strike)) for strike in self._plan.strikes]
        await asyncio.sleep(self._plan.seconds)
        await asyncio.gather(*strikes)
        await self._until(_all_live, _SETTLE_SECONDS, "not every venue live again")
        await self._simulator.stop_generating()
        until_ms = time.time() * 1000
        await self._settle()
        await self._judge_redis()
        await self._judge_postgres()
        report = await self._child.ask("report")
        arrivals = self._arrivals()
        left = (await self._child.stop()).left
        evidence = self._evidence((began_ms, until_ms), arrivals, report.last_seq)
        verdict = judged(evidence)
        judge_worker(report, left, self._plan, verdict)
        judge_windows(report, evidence, verdict)
        return verdict

    async def _until(self, is_so: Callable[[Answer], bool], seconds: float, otherwise: str) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = await self._child.ask("state")
            if is_so(answer):
                return
            await asyncio.sleep(0.1)
        self._problems.append(f"{otherwise}: {dict(answer.states)}")

    async def _settle(self) -> None:
        """Until nothing is on its way any more."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        before, quiet = -1, 0
        while time.monotonic() < deadline and quiet < 4:
            ledger = (await self._child.ask("state")).ledger
            waiting = ledger["events_pending"] + ledger.get("events_log_pending", 0)
            quiet = quiet + 1 if ledger["events_decoded"] == before and not waiting else 0
            before = ledger["events_decoded"]
            await asyncio.sleep(0.25)
        if quiet < 4:
            self._problems.append(f"events were still waiting: {ledger}")

    async def _judge_postgres(self) -> None:
        """What is in the log is in the database, once."""
        if self._postgres is None:
            return
        import asyncpg

        deadline = time.monotonic() + _SETTLE_SECONDS
        there: Counter[tuple[object, ...]] = Counter()
        here: Counter[tuple[object, ...]] = Counter()
        while time.monotonic() < deadline:
            here = Counter((e.venue, e.symbol, e.event_ms, e.id) for _, e in self._logged())
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                client = await asyncpg.connect(f"postgresql://liqtape@127.0.0.1:{self._postgres.port}/postgres")
                try:
                    rows = await client.fetch("SELECT venue, symbol, event_ms, id FROM liquidations")
                finally:
                    await client.close()
                there = Counter(map(tuple, rows))
                if there == here:
                    return
            await asyncio.sleep(0.5)
        self._problems.append(f"PostgreSQL: {(here - there).total()} missing, {(there - here).total()} too many")

    def _logged(self) -> list[tuple[int, Liquidation]]:
        follower = Follower(self._directory / "history")
        logged: list[tuple[int, Liquidation]] = []
        while page := follower.after(logged[-1][0] if logged else 0, 50_000):
            logged += page
        follower.close()
        return logged

    def _arrivals(self) -> list[Arrival]:
        """What the proxies passed into our sockets, by the simulator's book of what each message said."""
        ports = {tally.peer_port: tally.connection for tally in self._simulator.ledger.connections}
        rows: dict[tuple[int, int], list[SentRow]] = {}
        for record in self._simulator.ledger.records:
            rows.setdefault((record.connection, record.frame), []).append(_row(record))
        return [
            Arrival(row, message.at_ms, (link.peer_port, number))
            for venue in VENUES
            for link in self._proxies[venue].links
            for number, message in enumerate(link.delivered(), 1)
            for row in rows.get((ports.get(link.peer_port, -1), number), ())
        ]

    def _evidence(self, span: tuple[float, float], arrivals: list[Arrival], last_seq: int) -> Evidence:
        began_ms, until_ms = span
        logged = self._logged()
        with contextlib.closing(sqlite3.connect(self._directory / "history" / DATABASE)) as log:
            covered = log.execute("SELECT venue, up_ms, down_ms FROM coverage").fetchall()
            gaps = log.execute("SELECT venue, from_ms, until_ms FROM gaps WHERE reason != ?", (NO_LIST,)).fetchall()
            states = log.execute("SELECT at_ms, venue, state FROM health").fetchall()
        open_until_ms = until_ms + _OPEN_MS
        return Evidence(
            plan=self._plan,
            began_ms=began_ms,
            arrivals=arrivals,
            published=self._published,
            told=[_row(record) for record in self._simulator.ledger.records],
            logged=[event for _, event in logged],
            covered=intervals(covered, open_until_ms),
            gaps=intervals(gaps, open_until_ms),
            states=states,
            killed_ms=self._strikes.killed_ms,
            done_ms=self._strikes.done_ms,
            until_ms=until_ms,
            reported=sum(seq <= last_seq for seq, _ in logged),
        )

    async def _judge_redis(self) -> None:
        """The newest state is there, whatever befell the server."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        async with redis.asyncio.Redis(port=self._redis.port, db=1, decode_responses=True) as client:
            while True:
                rows = next(iter((await self._child.ask("report")).rows.values()), [])
                differences = []
                for row in rows:
                    there = await client.hget(f"velocity:{row.symbol}:current", "event_count_300s")
                    if str(there) != str(row.event_count_300s) and (there or row.event_count_300s):
                        differences.append(f"{row.symbol}: {there!r} in Redis, {row.event_count_300s} in the engine")
                if not differences:
                    return
                if time.monotonic() > deadline:
                    self._problems += differences[:3]
                    return
                await asyncio.sleep(0.3)


def _row(record: Delivered) -> SentRow:
    side: Literal["long", "short"] = "long" if record.side == "long" else "short"
    return SentRow(record.serial, record.venue, record.symbol, side, record.price, record.size, record.event_ms)


def _all_live(answer: Answer) -> bool:
    return len(answer.states) == len(VENUES) and set(answer.states.values()) <= {"live", "unlisted", "clock off"}


def _certificate(directory: Path) -> tuple[ssl.SSLContext, str]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    path = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return context, str(path)

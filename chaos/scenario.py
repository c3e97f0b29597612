"""One scenario from its seed to its verdict: simulator, proxies, servers and the service in a process of its own."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import msgspec
import redis.asyncio
import trustme
from chaos.judge import Arrival, Evidence, Verdict, intervals, judged, matched
from chaos.plan import SILENCE_LIMIT, VENUES, Plan, Strike
from chaos.proxy import FaultProxy, Weather
from chaos.servers import Postgres, Redis, postgres_programs
from chaos.worker import Answer, Config

from liqtape.demo import metric_differences
from liqtape.events import Liquidation
from liqtape.history.follow import Follower
from liqtape.history.layout import DATABASE
from liqtape.settings import VenueSettings
from liqtape.simulator import Delivered, Simulator, recount
from liqtape.simulator.wire import Frame, Row

__all__ = ["Scenario"]

_START_SECONDS = 40.0
_SETTLE_SECONDS = 75.0  # Hyperliquid allows few attempts a minute
_MOST_PROBLEMS = 20
_LOG_TAIL = 4_000
_OPEN_MS = 120_000
_FAST_RATE = 1_000_000


class _Child:
    """The worker process; started again after a kill."""

    def __init__(self, config: Path, log: Path) -> None:
        self._config = config
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "chaos.worker", str(self._config),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors, limit=64 * 1024 * 1024,
            )  # fmt: skip
        await self.hear()

    async def ask(self, what: str) -> Answer:
        process = self._running()
        if process.stdin is not None:
            process.stdin.write(what.encode() + b"\n")
        return await self.hear()

    async def hear(self) -> Answer:
        process = self._running()
        line = b"" if process.stdout is None else await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)
        if not line:
            raise RuntimeError(f"the worker ended by itself:\n{self.log_tail()}")
        return msgspec.json.decode(line, type=Answer)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    async def stop(self) -> Answer:
        """Its last word; it has ended afterwards."""
        answer = await self.ask("stop")
        process = self._running()
        if await asyncio.wait_for(process.wait(), _START_SECONDS):
            raise RuntimeError(f"the worker ended with {process.returncode}:\n{self.log_tail()}")
        return answer

    def log_tail(self) -> str:
        """The newest of what the worker said to its log."""
        return self._log.read_text(errors="replace")[-_LOG_TAIL:] if self._log.exists() else ""

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the worker was not started")
        return self._process


class Scenario:
    """Runs one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._published: list[Arrival] = []
        self._killed_ms: list[float] = []
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
        self._child = _Child(directory / "config.json", directory / "worker.log")

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
        here = [c.conversation for c in self._simulator._connections if c.tally.venue == frame.rows[0].venue]
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
        strikes = [asyncio.create_task(self._strike(strike)) for strike in self._plan.strikes]
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
        self._judge_worker(report, left, verdict)
        self._judge_windows(report, evidence, verdict)
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

    async def _strike(self, strike: Strike) -> None:
        await asyncio.sleep(strike.at)
        if strike.against == "worker":
            self._killed_ms.append(time.time() * 1000)
            await self._child.kill()
            self._killed_ms[-1] = time.time() * 1000
            await asyncio.sleep(strike.seconds)
            await self._child.start()
        elif strike.kind == "restart":
            server = self._redis if strike.against == "redis" else self._postgres
            if server is not None:
                await server.kill()
                await asyncio.sleep(strike.seconds)
                await server.start()
        elif (proxy := self._proxies.get(strike.against)) is not None:
            await self._strike_way(strike, proxy)

    async def _strike_way(self, strike: Strike, proxy: FaultProxy) -> None:
        kind, seconds = strike.kind, strike.seconds
        weathers: Mapping[str, Weather] = {
            "slow": Weather(delay=0.4, jitter=0.5),
            "throttle": Weather(rate=strike.number or _FAST_RATE),
            "drip": Weather(drip=True),
        }
        if kind in ("cut", "reset", "half_open"):
            getattr(proxy, kind)()
        elif kind == "refuse":
            proxy.refuse()
            await asyncio.sleep(seconds)
            proxy.open_way()
        elif kind == "black_hole":
            proxy.close_way()
            await asyncio.sleep(seconds)
            proxy.open_way()
        elif kind in weathers:
            proxy.weather = weathers[kind]
            await asyncio.sleep(seconds)
            proxy.weather = Weather()
        else:
            await self._strike_venue(strike)

    async def _strike_venue(self, strike: Strike) -> None:
        simulator, venue = self._simulator, strike.against
        if strike.kind == "stall":
            simulator.silence(venue)
            await asyncio.sleep(strike.seconds)
            simulator.resume(venue)
        elif strike.kind == "http_error":
            simulator.refuse(venue, strike.number)
            simulator.refuse_rest(venue, strike.number)
            await simulator.drop_connections(venue)
            await asyncio.sleep(strike.seconds)
            simulator.refuse(venue, None)
            simulator.refuse_rest(venue, None)
        elif strike.kind == "no_pong":
            simulator.withhold_pongs(venue)
            await asyncio.sleep(strike.seconds)
            simulator.withhold_pongs(venue, withheld=False)
        elif strike.kind == "bad_close":
            await simulator.drop_connections(venue, strike.number)
        else:
            await simulator.notice(venue, strike.seconds)

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
        rows: dict[tuple[int, int], list[Row]] = {}
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
            gaps = log.execute("SELECT venue, from_ms, until_ms FROM gaps").fetchall()
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
            killed_ms=self._killed_ms,
            until_ms=until_ms,
            reported=sum(seq <= last_seq for seq, _ in logged),
        )

    def _judge_worker(self, report: Answer, left: tuple[str, ...], verdict: Verdict) -> None:
        if report.unbalanced:
            verdict.problems.append(f"ledger not balanced: {report.unbalanced}, {report.ledger}")
        if report.crashes:
            verdict.problems.append(f"supervised parts crashed: {report.crashes}")
        not_logged = {name: count for name, count in report.ledger.items() if "not_logged" in name and count}
        not_logged.pop("events_not_logged_duplicate", None)
        if not_logged:
            verdict.problems.append(f"not logged: {not_logged}")
        if report.ledger["events_rejected_future"]:
            verdict.problems.append(f"rejected: {report.ledger}")
        if report.sockets > report.connections + 16:
            verdict.problems.append(f"{report.sockets} sockets open for {report.connections} connections")
        if left:
            verdict.problems.append(f"left behind: {left}")

    def _judge_windows(self, report: Answer, evidence: Evidence, verdict: Verdict) -> None:
        rows = matched(evidence)
        unsized = {event.instrument for event in evidence.logged if event.notional_usd is None}
        for now_ms, found in report.rows.items():
            by_instrument = {row.symbol: row for row in found}
            for instrument, expected in recount(rows, now_ms).items():
                if instrument in unsized:
                    continue
                row = by_instrument.get(instrument)
                if row is None:
                    if expected.windows[300].count:
                        verdict.problems.append(f"{instrument}: no row, {expected.windows[300].count} events")
                    continue
                differences = metric_differences(row, expected)
                verdict.problems += [f"{instrument} at {now_ms}: {text}" for text in differences[:3]]

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


def _row(record: Delivered) -> Row:
    side: Literal["long", "short"] = "long" if record.side == "long" else "short"
    return Row(record.serial, record.venue, record.symbol, side, record.price, record.size, record.event_ms)


def _all_live(answer: Answer) -> bool:
    return len(answer.states) == len(VENUES) and set(answer.states.values()) == {"live"}


def _certificate(directory: Path) -> tuple[ssl.SSLContext, str]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    path = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return context, str(path)

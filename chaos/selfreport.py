"""The worker's word on itself, held against the log."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from chaos.judge import Evidence, Verdict, matched
from chaos.plan import Plan
from chaos.worker import Answer

from liqtape.cli.demo import metric_differences
from liqtape.events import VelocityMetrics
from liqtape.simulator import recount
from liqtape.simulator.recount import WINDOWS, instrument_of
from liqtape.simulator.wire import SentRow

_SLACK_MS = 1_300
"""By how much a clock that is off may be misjudged: a second is none, and the way to us takes its time."""

__all__ = ["judge_windows", "judge_worker"]

_OTHER_SOCKETS = 16
"""Redis, PostgreSQL, the price, REST."""


def judge_worker(report: Answer, left: tuple[str, ...], plan: Plan, verdict: Verdict) -> None:
    """Its own books, and what it leaves behind."""
    if report.unbalanced:
        verdict.problems.append(f"ledger not balanced: {report.unbalanced}, {report.ledger}")
    if report.crashes:
        verdict.problems.append(f"supervised parts crashed: {report.crashes}")
    not_logged = {name: count for name, count in report.ledger.items() if "not_logged" in name and count}
    not_logged.pop("events_not_logged_duplicate", None)
    if not_logged:
        verdict.problems.append(f"not logged: {not_logged}")
    if refused := report.ledger["events_rejected_future"]:
        _judge_refused(refused, report, plan, verdict)
    if report.sockets > report.connections + _OTHER_SOCKETS:
        verdict.problems.append(f"{report.sockets} sockets open for {report.connections} connections")
    if left:
        verdict.problems.append(f"left behind: {left}")


def _judge_refused(refused: int, report: Answer, plan: Plan, verdict: Verdict) -> None:
    """Events too far ahead wait, at most 10,000 of them: beyond that, those of a clock that jumped are rejected.

    The ledger has to say exactly how many of what is not in the log.
    """
    lost = [text for text in verdict.problems if text.startswith("lost ")]  # the first of them
    if refused != verdict.lost or not all(any(f"('{venue}'" in text for venue in plan.clocks) for text in lost):
        verdict.problems.append(f"rejected: {report.ledger}")
        return
    verdict.refused, verdict.lost = refused, 0
    verdict.problems = [text for text in verdict.problems if text not in lost]


def judge_windows(report: Answer, evidence: Evidence, verdict: Verdict) -> None:
    """Each window against a recount of what was in the log at that moment."""
    rows = matched(evidence)
    off = {event.instrument for event in evidence.logged if evidence.plan.is_off(event.venue)}
    unsized = {event.instrument for event in evidence.logged if event.notional_usd is None}
    for now_ms, found in report.rows.items():
        by_instrument = {row.symbol: row for row in found}
        _judge_shifted(
            by_instrument,
            [row for row in rows if instrument_of(row.venue, row.symbol) in off],
            now_ms,
            evidence,
            verdict,
        )
        for instrument, expected in recount(rows, now_ms).items():
            if instrument in unsized or instrument in off:
                continue
            row = by_instrument.get(instrument)
            if row is None:
                if expected.windows[300].count:
                    verdict.problems.append(f"{instrument}: no row, {expected.windows[300].count} events")
                continue
            differences = metric_differences(row, expected)
            verdict.problems += [f"{instrument} at {now_ms}: {text}" for text in differences[:3]]


def _judge_shifted(
    rows: Mapping[str, VelocityMetrics], sent: Sequence[SentRow], now_ms: int, evidence: Evidence, verdict: Verdict
) -> None:
    """Windows in which a venue stands whose clock is off: where it belongs is known to the lags of a busy machine."""
    published = {(arrival.row.venue, arrival.row.serial): arrival.at_ms for arrival in evidence.published}
    moments: dict[str, list[tuple[int, int]]] = defaultdict(list)
    past: dict[str, list[int]] = defaultdict(list)  # wherever it may stand
    for row in sent:
        skews = {evidence.plan.skew_at(row.venue, at) for at in (-1.0, 1_000.0)}
        sent_ms = published.get((row.venue, row.serial))
        if sent_ms is None:
            # What a snapshot told of the past: which clock its stamp is by, its receipt does not say.
            past[instrument_of(row.venue, row.symbol)].append(row.event_ms)
            continue
        own_ms = min((row.event_ms - skew for skew in skews), key=lambda ms: abs(ms - sent_ms))
        moments[instrument_of(row.venue, row.symbol)].append((own_ms + evidence.plan.shift_ms, row.serial))
    for instrument in past:
        moments.setdefault(instrument, [])
    for instrument, found in moments.items():
        shown = rows.get(instrument)
        for seconds in WINDOWS:
            count = 0 if shown is None else getattr(shown, f"event_count_{seconds}s")
            least, most = (
                sum(now_ms - 1000 * seconds + slack < at_ms <= now_ms - slack for at_ms, _ in found)
                for slack in (_SLACK_MS, -_SLACK_MS)
            )
            if not least <= count <= most + len(past[instrument]):
                verdict.problems.append(f"{instrument} at {now_ms}: {count} in {seconds} s, not {least} to {most}")

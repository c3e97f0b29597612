"""The worker's word on itself, held against the log."""

from chaos.judge import Evidence, Verdict, matched
from chaos.worker import Answer

from liqtape.demo import metric_differences
from liqtape.simulator import recount

__all__ = ["judge_windows", "judge_worker"]

_OTHER_SOCKETS = 16
"""Redis, PostgreSQL, the price, REST."""


def judge_worker(report: Answer, left: tuple[str, ...], verdict: Verdict) -> None:
    """Its own books, and what it leaves behind."""
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
    if report.sockets > report.connections + _OTHER_SOCKETS:
        verdict.problems.append(f"{report.sockets} sockets open for {report.connections} connections")
    if left:
        verdict.problems.append(f"left behind: {left}")


def judge_windows(report: Answer, evidence: Evidence, verdict: Verdict) -> None:
    """Each window against a recount of what was in the log at that moment."""
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

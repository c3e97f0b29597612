"""By which rules a backtest judges. They are written down before the days they judge are looked at."""

from msgspec import Struct

from liqtape.exam.alarmscores import MatchRule

__all__ = ["MOMENT_MS", "ExamSettings"]

MOMENT_MS = 10_000
"""The step of the moments at which shares of time are taken."""


class ExamSettings(Struct, frozen=True):
    """What is a cascade, when it is met, and what may be learned from earlier days.

    Cascades are labels of the rate rule with `least_severity`, of which `needs_agreement` leaves those that the burst
    rule found, too. Thresholds are those with the most cascades met on earlier days at `false_a_day` or fewer; the last
    `purge_ms` before a day are left out. The first day that is judged so has `least_days` of watched time before it.
    `with_challenger` judges gradient boosting beside the forecasts; `seed` fixes what it draws.
    """

    rule: MatchRule = MatchRule()
    least_severity: int = 2
    needs_agreement: bool = True
    false_a_day: float = 3.0
    least_days: float = 3.0
    purge_ms: int = 21_600_000
    with_challenger: bool = False
    seed: int = 1

"""The paths of the API: what each is asked with, what it answers, and who answers; the description is made of this."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct

from liqtape.web.answers import AnyAnswer, LivenessAnswer, MarketAnswer, MetricsAnswer, NowAnswer, ReadinessAnswer
from liqtape.web.api import Api
from liqtape.web.chartanswers import (
    CascadesAnswer,
    EventsAnswer,
    HistoryAnswer,
    InstrumentAnswer,
    LevelsAnswer,
    PriceAnswer,
)
from liqtape.web.chartapi import ChartApi
from liqtape.web.pasthistory import HistoryApi
from liqtape.web.questions import (
    CascadesQuestion,
    EventsQuestion,
    HistoryQuestion,
    LevelsQuestion,
    ListQuestion,
    MetricsQuestion,
    NoQuestion,
    PriceQuestion,
    SeriesQuestion,
)
from liqtape.web.stateanswers import AlertsAnswer, CorrelationAnswer, GapsAnswer, HealthAnswer, LedgerAnswer

__all__ = ["ApiPath", "api_paths"]

BASE = "/api/v1"


class ApiPath(Struct, frozen=True):
    """One path. `answer_with` takes the question, and the instrument where the path names one.

    `status_of` gives the HTTP status of an answer that is not always 200.
    """

    path: str
    question: type[Struct]
    answer: type[AnyAnswer]
    answer_with: Callable[..., Awaitable[Any]]
    status_of: Callable[[Any], int] | None = None

    @property
    def names_instrument(self) -> bool:
        """Whether the path ends with an instrument."""
        return self.path.endswith("}")

    @property
    def summary(self) -> str:
        """What it answers, in a sentence."""
        return (self.answer_with.__doc__ or "").strip().partition("\n")[0]


def api_paths(api: Api, charts: ChartApi, past: HistoryApi) -> Sequence[ApiPath]:
    """Return all paths that answer with JSON."""
    return [
        ApiPath("/healthz", NoQuestion, LivenessAnswer, api.alive),
        ApiPath("/readyz", NoQuestion, ReadinessAnswer, api.ready, lambda answer: 200 if answer.is_ready else 503),
        ApiPath(f"{BASE}/now", NoQuestion, NowAnswer, api.now),
        ApiPath(f"{BASE}/metrics", MetricsQuestion, MetricsAnswer, api.metrics),
        ApiPath(f"{BASE}/metrics/{{instrument}}", SeriesQuestion, InstrumentAnswer, charts.instrument),
        ApiPath(f"{BASE}/market", NoQuestion, MarketAnswer, api.market),
        ApiPath(f"{BASE}/events", EventsQuestion, EventsAnswer, charts.events),
        ApiPath(f"{BASE}/levels", LevelsQuestion, LevelsAnswer, charts.levels),
        ApiPath(f"{BASE}/levels/{{instrument}}", LevelsQuestion, LevelsAnswer, charts.levels),
        ApiPath(f"{BASE}/price", PriceQuestion, PriceAnswer, charts.price),
        ApiPath(f"{BASE}/price/{{instrument}}", PriceQuestion, PriceAnswer, charts.price),
        ApiPath(f"{BASE}/cascades", CascadesQuestion, CascadesAnswer, charts.cascades),
        ApiPath(f"{BASE}/alerts", ListQuestion, AlertsAnswer, api.alerts),
        ApiPath(f"{BASE}/correlation", NoQuestion, CorrelationAnswer, api.correlation),
        ApiPath(f"{BASE}/health", NoQuestion, HealthAnswer, api.health),
        ApiPath(f"{BASE}/gaps", ListQuestion, GapsAnswer, api.gaps),
        ApiPath(f"{BASE}/ledger", NoQuestion, LedgerAnswer, api.ledger),
        ApiPath(f"{BASE}/history", HistoryQuestion, HistoryAnswer, past.history),
    ]

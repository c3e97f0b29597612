"""Page, API and Prometheus' metrics beside a tracker in the foreground."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from liqtape.errors import ConfigurationError
from liqtape.settings import HistorySettings, WebSettings

if TYPE_CHECKING:
    from liqtape.tracker import Tracker
    from liqtape.web.answers import MessagePlan, Mode

__all__ = ["listen_option", "page_beside"]


@asynccontextmanager
async def page_beside(
    tracker: "Tracker", settings: WebSettings, history: HistorySettings, mode: "Mode" = "live"
) -> AsyncIterator[Sequence[str]]:
    """Serve the page inside the block; gives what is to be said about it. Enter it before the tracker.

    Where nothing is served, nothing of a web server is imported.
    """
    address = settings.address()
    if address is None:
        yield ["Page: off"]
        return
    from liqtape.cli.historyrows import HistoryRows
    from liqtape.exposition.exposition import Exposition
    from liqtape.web.livesource import LiveSource
    from liqtape.web.webserver import serving

    past = None if history.url in {None, "off"} else HistoryRows(str(history.url))
    source, exposition = LiveSource(tracker, mode, lambda: _messages(tracker)), Exposition(tracker)
    tracker.listen(exposition)
    async with serving(
        source, address, token=settings.secret(), hosts=settings.hosts, past=past, metrics=exposition.text
    ) as server:
        yield [_note(server.url, address)]


def _messages(tracker: "Tracker") -> "MessagePlan":
    from liqtape.web.answers import MessagePlan, MessageThread

    steps, event = tracker.alarms.steps(), tracker.alarms.open_event()
    return MessagePlan(
        steps.budget_per_week,
        steps.market_days,
        steps.instrument_days,
        steps.named_days,
        None
        if event is None
        else MessageThread(
            event.thread,
            event.began_ms,
            event.level,
            event.messages,
            event.up,
            event.count,
            event.usd,
            event.venues,
        ),
    )


def _note(url: str, address: tuple[str, int]) -> str:
    port = int(url.rpartition(":")[2])
    taken = f" (port {address[1]} is taken)" if address[1] not in {0, port} else ""
    return f"Page: {url}{taken}"


def listen_option(text: str | None) -> dict[str, object]:
    """Return the option `--listen` as settings. Raises ConfigurationError for what is no address."""
    if text is None:
        return {}
    try:
        WebSettings(listen=text)
    except ValueError as error:
        raise ConfigurationError(f"--listen {text}: {error}") from error
    return {"web": {"listen": text}}

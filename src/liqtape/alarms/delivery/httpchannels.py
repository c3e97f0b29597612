"""Channels over HTTP: the signed webhook, and an Alertmanager."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec

from liqtape.alarms.delivery.messagechannel import DeliveryError, DeliveryRefused
from liqtape.alarms.delivery.signature import signed
from liqtape.alarms.policy.messages import AlarmMessage
from liqtape.ourtime import our_seconds

__all__ = ["AlertmanagerChannel", "WebhookChannel"]

_SECONDS = 10.0
_AGAIN = frozenset({408, 409, 425, 429})
"""Answers of the 400s after which another attempt may do."""

_ACTIVE_SECONDS = 180
_LASTING = frozenset({"begin", "update", "trouble"})
_ENDING = frozenset({"end", "well"})


class _HttpPoster:
    """Posts JSON; what is wrong becomes a DeliveryError."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_SECONDS), trust_env=True, raise_for_status=False
            )
        try:
            async with self._session.post(
                url, data=body, headers={"Content-Type": "application/json", **headers}, allow_redirects=False
            ) as answer:
                status, said = answer.status, (await answer.content.read(500)).decode(errors="replace")
        except aiohttp.InvalidURL as error:
            raise DeliveryError("its address is none") from error  # which it would quote, and it may be a secret
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DeliveryError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
        if 200 <= status < 300:
            return
        text = f"answered {status}: {said.strip()}"
        if 400 <= status < 500 and status not in _AGAIN:
            raise DeliveryRefused(text)
        raise DeliveryError(text)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


class WebhookChannel:
    """Posts each message as JSON, with its key as `Idempotency-Key`, signed where there is a secret."""

    def __init__(
        self, name: str, url: str, secret: bytes | None = None, now: Callable[[], float] = our_seconds
    ) -> None:
        self.name = name
        self._url, self._secret, self._now = url, secret, now
        self._poster = _HttpPoster()

    async def send(self, message: AlarmMessage) -> None:
        body = msgspec.json.encode(message)
        timestamp = int(self._now())
        headers = {"Idempotency-Key": message.key, "Liqtape-Timestamp": str(timestamp)}
        if self._secret is not None:
            headers["Liqtape-Signature"] = signed(self._secret, timestamp, body)
        await self._poster.post(self._url, body, headers)

    def resume(self, sent: Iterable[AlarmMessage]) -> None:
        pass

    async def refresh(self) -> None:
        pass

    async def close(self) -> None:
        await self._poster.close()


class AlertmanagerChannel:
    """Keeps an alert active there while an event lasts: posted again with each refresh, for three minutes more.

    The labels of an alert are its name, its thread and its severity. A step up is another severity: the alert with the
    old one ends.
    """

    def __init__(self, name: str, url: str, now: Callable[[], float] = our_seconds) -> None:
        self.name = name
        self._url = url.rstrip("/") + "/api/v2/alerts"
        self._now = now
        self._poster = _HttpPoster()
        self._active: dict[str, AlarmMessage] = {}  # by thread

    async def send(self, message: AlarmMessage) -> None:
        if message.kind == "digest":
            return
        before = self._active.get(message.thread)
        alerts = []
        if before is not None and (message.kind in _ENDING or _labels(before) != _labels(message)):
            alerts.append(self._alert(before, is_over=True))
        if message.kind not in _ENDING:
            alerts.append(self._alert(message))
        if alerts:
            await self._post(alerts)
        self._note(message)

    def resume(self, sent: Iterable[AlarmMessage]) -> None:
        for message in sent:
            self._note(message)

    async def refresh(self) -> None:
        if self._active:
            await self._post([self._alert(message) for message in self._active.values()])

    async def close(self) -> None:
        await self._poster.close()

    def _note(self, message: AlarmMessage) -> None:
        if message.kind in _LASTING:
            self._active[message.thread] = message
        elif message.kind in _ENDING:
            self._active.pop(message.thread, None)

    async def _post(self, alerts: list[dict[str, Any]]) -> None:
        await self._poster.post(self._url, msgspec.json.encode(alerts), {})

    def _alert(self, message: AlarmMessage, *, is_over: bool = False) -> dict[str, Any]:
        began_ms = message.at_ms if message.began_ms is None else message.began_ms
        alert: dict[str, Any] = {
            "labels": _labels(message),
            "annotations": {"summary": message.title, "description": message.text},
            "startsAt": _rfc3339(began_ms / 1_000),
            "endsAt": _rfc3339(self._now() + (0 if is_over else _ACTIVE_SECONDS)),
        }
        if message.link:
            alert["generatorURL"] = message.link
        return alert


def _labels(message: AlarmMessage) -> dict[str, str]:
    name = "LiqtapeMarketEvent" if message.stream == "market" else "LiqtapeService"
    severity = message.level.lower() if message.stream == "market" else "warning"
    return {"alertname": name, "thread": message.thread or message.key, "severity": severity}


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()

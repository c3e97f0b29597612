"""Alarm messages: each reached its channel, once as far as we know, in order; none is raised twice."""

import sqlite3
from typing import TYPE_CHECKING

import msgspec
from chaos.virtual.alarmend import TakenMessage
from msgspec import Struct

from liqtape.alarms.alarmservice import QUEUE_FILE
from liqtape.alarms.policy.messages import AddressedMessage, AlarmMessage

if TYPE_CHECKING:
    from chaos.virtual.execution import Execution
    from chaos.virtual.watcher import Watcher

    from liqtape.tracker import Tracker

__all__ = ["AlarmBook"]

_LOST_WITH_US_MS = 100_000
"""Before a kill: what a process that was stopped until then had not written, or had not heard of."""

_LATE_MS = 15_000


class _Queued(Struct, frozen=True):
    """A message in the queue on disk."""

    number: int
    key: str
    state: str
    due_ms: int
    message: AlarmMessage


class AlarmBook:
    """What the service wanted to tell, and when in true time."""

    def __init__(self, execution: "Execution") -> None:
        self.told: dict[str, int] = {}
        self._execution = execution

    def hear(self, tracker: "Tracker") -> None:
        """Hear what the policy of a process gives to its channels."""
        dispatcher = tracker.alarms.dispatcher
        submit = dispatcher.submit

        def heard(messages: list[AddressedMessage], state: bytes | None = None) -> None:
            for one in messages:
                self.told.setdefault(one.message.key, self._execution.world.now_ms)
            submit(messages, state)

        dispatcher.submit = heard  # type: ignore[method-assign, assignment]

    def finish(self, watcher: "Watcher", tracker: "Tracker") -> None:
        """Look at what is said to be wrong when all has been calm for a while."""
        now_ms = self._execution.world.wall_ns // 1_000_000
        for one in tracker.alarms.policy.state(now_ms).conditions.values():
            if one.is_told and not one.subject.startswith("clock"):  # which is wrong for good in some worlds
                watcher.wrong("alarm lasts", f"{one.subject} is said to be wrong: {one.reason}")

    def judge(self, watcher: "Watcher") -> None:
        """Compare what was told with what the end took and what the queue has."""
        end, path = self._execution.alarm_end, self._execution.disk.directory / QUEUE_FILE
        if not self._execution.scheme.has_channel or not (self.told or path.exists()):
            return
        queued = {one.key: one for one in _read(path)}
        kills = [at_ms for at_ms, _ in watcher.killed_ms]
        taken: dict[str, list[TakenMessage]] = {}
        for message in end.taken:
            taken.setdefault(message.key, []).append(message)
        for key, at_ms in self.told.items():
            if key not in taken:
                self._judge_untaken(watcher, key, queued.get(key), is_doubtful=_is_before(at_ms, kills))
        for key, times in taken.items():
            if key not in self.told:
                watcher.wrong("alarm invented", f"nobody told {key}")
            for one in times[:-1]:
                if one.is_known and not _is_before(one.at_ms, kills):
                    watcher.wrong("alarm twice", f"{key} was taken at {one.at_ms}, which was known, and sent again")
        _judge_order(watcher, [queued[key].number for key in taken if key in queued])
        _judge_raised(watcher, list(queued.values()))

    def _judge_untaken(self, watcher: "Watcher", key: str, queued: _Queued | None, *, is_doubtful: bool) -> None:
        if queued is None:
            if not is_doubtful:
                watcher.wrong("alarm lost", f"{key} was neither taken nor is it in the queue")
        elif queued.state == "sent":
            watcher.wrong("alarm lost", f"{key} is said to be sent, and was not taken")
        elif queued.state == "waiting":
            first_ms = self._execution.world.wall_ns // 1_000_000 - _LATE_MS
            is_first = not any(one.number < queued.number for one in _waiting(self._execution))
            if is_first and queued.due_ms < first_ms:
                watcher.wrong("alarm late", f"{key} is due since {queued.due_ms} and was not tried")


def _waiting(execution: "Execution") -> list[_Queued]:
    return [one for one in _read(execution.disk.directory / QUEUE_FILE) if one.state == "waiting"]


def _read(path: object) -> list[_Queued]:
    connection = sqlite3.connect(str(path))
    try:
        rows = connection.execute("SELECT seq, key, state, due_ms, body FROM message ORDER BY seq").fetchall()
    finally:
        connection.close()
    decode = msgspec.json.Decoder(AlarmMessage).decode
    return [_Queued(number, key, state, due_ms, decode(body)) for number, key, state, due_ms, body in rows]


def _is_before(at_ms: int, kills: list[int]) -> bool:
    return any(at_ms <= kill_ms <= at_ms + _LOST_WITH_US_MS for kill_ms in kills)


def _judge_order(watcher: "Watcher", numbers: list[int]) -> None:
    if numbers != sorted(numbers):
        watcher.wrong("alarm order", f"messages came first in the order {numbers}")


def _judge_raised(watcher: "Watcher", queued: list[_Queued]) -> None:
    """Check that what lasts is not raised again before its end was told."""
    raised: dict[str, str] = {}
    for one in queued:
        message = one.message
        subject = "market" if message.kind in {"begin", "end"} else message.thread.split("-", 2)[-1]
        if message.kind in {"begin", "trouble"}:
            if subject in raised:
                watcher.wrong("alarm raised twice", f"{one.key} while {raised[subject]} lasts")
            raised[subject] = one.key
        elif message.kind in {"end", "well"}:
            raised.pop(subject, None)

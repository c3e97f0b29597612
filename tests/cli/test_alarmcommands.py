"""`alert-test` and `alert-replay`."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from liqtape.alarms.alarmservice import QUEUE_FILE
from liqtape.alarms.delivery.outbox import Outbox
from liqtape.alarms.policy.messages import AddressedMessage, AlarmMessage
from liqtape.cli.app import main
from liqtape.recording.recorder import Recorder
from liqtape.settings import Settings, VenueSettings
from liqtape.simulator import Simulator
from liqtape.tracker import Tracker

_T = 1_790_000_000_000
_LINE = '{{"schema":1,"venue":"bybit","instrument":"BTCUSDT","symbol":"BTCUSDT","side":"long","price":100.0,"price_kind":"bankruptcy","quantity":{usd},"notional_usd":{usd},"event_ms":{at},"receive_ms":null,"id":"{at}"}}'  # noqa: E501


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def _events(path: Path) -> None:
    """A day of nothing much, and a burst that is CRITICAL whatever was seen."""
    times = [(_T + 60_000 * minute, 1_000.0) for minute in range(120)]
    times += [(_T + 7_300_000 + number, 200_000.0 * 100) for number in range(4)]
    path.write_text("\n".join(_LINE.format(usd=usd, at=at) for at, usd in times) + "\n", encoding="utf-8")


def test_a_replay_says_what_a_past_would_have_sent_beside_the_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _events(tmp_path / "day.ndjson")

    assert main(["alert-replay", "day.ndjson", "--whole"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2026-09-21 16:15:01 UTC  begin   CRITICAL: BTCUSDT $80M liquidated within 60 s")
    assert lines[0].endswith("[log]")
    end = next(line for line in lines if " end " in line)
    assert "Over: CRITICAL, $80M in 4 liquidations, most of it BTCUSDT" in end
    assert "    Venues: bybit 100 %." in lines
    assert lines[-5].startswith("threads: 1 in 0.09 watched days; the budget of 3 a week allows 0.04")
    assert lines[-2:] == ["channel log: 2 messages, 2 of 20 within an hour at most", "nothing was sent"]


def test_a_replay_gives_the_same_messages_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _events(tmp_path / "day.ndjson")
    said = []
    for _ in range(2):
        assert main(["alert-replay", "day.ndjson", "--json"]) == 0
        said.append(capsys.readouterr().out)

    assert said[0] == said[1]
    assert [json.loads(line)["message"]["kind"] for line in said[0].splitlines()[:-1]] == ["begin", "end"]
    assert json.loads(said[0].splitlines()[-1])["threads"] == 1


def test_what_the_stored_day_sends(history_file: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    file = history_file("binance_btcusdt_20241204.parquet")

    assert main(["alert-replay", str(file), "--json"]) == 0

    totals = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (totals["threads"], totals["channels"]["log"]["messages"]) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["alert-replay", "nothing.ndjson"], "nothing.ndjson"),
        (["alert-test", "--channel", "fax"], "--channel fax: there are log"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(arguments) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_a_rule_that_opens_no_thread_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "liqtape.toml").write_text('[alerts]\nrule = "threshold"\n', encoding="utf-8")
    _events(tmp_path / "day.ndjson")

    assert main(["alert-replay", "day.ndjson"]) == 2
    assert "only return_period opens threads" in capsys.readouterr().err


def test_a_test_alert_goes_over_every_channel_and_the_policy_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "liqtape.toml").write_text(
        """
[alerts]
budget_per_week = 7.0
named = ["BTCUSDT"]
[alerts.quiet]
start = "23:00"
end = "07:00"
zone = "Europe/Zurich"
[alerts.channels.here]
kind = "log"
messages_per_hour = 5
[alerts.channels.nobody]
kind = "webhook"
url = "http://127.0.0.1:9/"
[[alerts.rules]]
name = "big"
usd = 5e6
""",
        encoding="utf-8",
    )

    assert main(["alert-test"]) == 1

    text = " ".join(capsys.readouterr().out.split())
    for said in (
        "here log sent",
        "nobody webhook NOT SENT: ClientConnectorError",
        "7 market events a week over market, instruments, named; not learned yet",
        "updates one in 60 s at most, or at a step up",
        "cooldown 300 s for each instrument and level",
        "quiet hours 23:00 to 07:00 Europe/Zurich: from EXTREME on",
        "here 5 an hour, nobody 20 an hour",
        "rules big",
    ):
        assert said in text
    assert main(["alert-test", "--channel", "here", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["channels"] == {"here": ""}
    assert summary["policy"]["cooldown_s"] == 300


def test_the_policy_says_what_the_service_has_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outbox = Outbox(tmp_path / "data" / "liqtape" / QUEUE_FILE)
    message = AlarmMessage("event-1/1", "begin", "market", "ALERT", 1, "title", "text", "event-1")
    outbox.add(
        [AddressedMessage(name, message) for name in ("phone", "fax")], b'{"budget":{"days":10.0,"bins":{"40":1.0}}}', 1
    )
    entry = outbox.first("fax")
    assert entry is not None
    outbox.settle(entry.seq, "dead", 1, "answered 404")
    outbox.close()

    assert main(["alert-test"]) == 0
    said = capsys.readouterr().out
    assert "learned from 10.0 watched days; the market wakes" in said
    assert said.endswith("queue          1 waiting (phone 1), 1 dead (fax 1)\n")


async def _record(directory: Path) -> None:
    async with Simulator("cascade", 1, 1.0) as simulator:
        bybit = VenueSettings(ws_url=simulator.ws_url("bybit"), rest_url=simulator.rest_url("bybit"))
        recorder = Recorder(directory)
        async with Tracker(Settings(venues={"bybit": bybit}), recorder=recorder) as tracker, asyncio.timeout(60):
            async for _ in tracker.liquidations():
                if tracker.ledger().events_accepted > 20:
                    break


def test_a_recording_is_replayed_by_the_rules_of_today(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(_record(tmp_path / "recorded"))
    (tmp_path / "liqtape.toml").write_text('[[alerts.rules]]\nname = "any"\nusd = 1.0\n', encoding="utf-8")

    said = []
    for _ in range(2):
        assert main(["alert-replay", "recorded", "--json"]) == 0
        said.append(capsys.readouterr().out)

    assert said[0] == said[1]
    messages = [json.loads(line)["message"] for line in said[0].splitlines()[:-1]]
    assert {message["kind"] for message in messages} == {"rule"}
    assert all(message["usd"] >= 1.0 for message in messages)
    assert main(["alert-replay", "recorded", "--coverage", "x.csv"]) == 2

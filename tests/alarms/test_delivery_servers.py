"""Messages at real servers: webhook, Alertmanager, mail server, Redis; through their outages and our own kills."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from liqtape.alarms.delivery.channelfactory import channel_of
from liqtape.alarms.delivery.httpchannels import AlertmanagerChannel
from liqtape.alarms.delivery.messagechannel import DeliveryError, DeliveryRefused
from liqtape.alarms.delivery.signature import is_genuine
from liqtape.alarms.policy.messages import AlarmMessage, MessageKind
from liqtape.alarmsettings import ChannelSettings
from liqtape.cli.warmstart import write_warm_start
from liqtape.errors import ConfigurationError, MissingExtra
from liqtape.events import Level
from liqtape.simulator import Simulator
from liqtape.simulator.dialects import DIALECTS

_SECONDS = 60.0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.02)


def _message(kind: MessageKind, number: int, level: Level = "ALERT", thread: str = "event-1") -> AlarmMessage:
    return AlarmMessage(
        f"{thread}/{number}", kind, "market", level, 1, f"{level} {number}", "text", thread, number, 1_790_000_000_000
    )


class _Webhook:
    """An HTTP server of the user's that checks what it gets as the documentation says."""

    def __init__(self, port: int, secret: bytes) -> None:
        self.port, self.keys, self.forged = port, [], 0  # type: ignore[var-annotated]
        self.status = 200
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stamp, signature = self.headers["Liqtape-Timestamp"], self.headers["Liqtape-Signature"]
                if not is_genuine(secret, stamp, signature, body, time.time()):
                    outer.forged += 1
                key = json.loads(body)["key"]
                assert key == self.headers["Idempotency-Key"]
                if outer.status == 200:
                    outer.keys.append(key)
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Alertmanager:
    """An Alertmanager on loopback."""

    def __init__(self, program: Path, directory: Path) -> None:
        self._program, self._directory = program, directory
        self.port = _free_port()
        (directory / "config.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n", encoding="utf-8")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                self._program,
                f"--config.file={self._directory / 'config.yml'}",
                f"--storage.path={self._directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def answers() -> bool:
            try:
                return bool(urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).status == 200)
            except OSError:
                return False

        _until(answers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def alerts(self) -> set[tuple[str, str, str]]:
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            found = json.load(answer)
        return {(a["labels"]["thread"], a["labels"]["severity"], a["annotations"]["summary"]) for a in found}

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def alertmanager(require_server: Callable[[str], Path], tmp_path: Path) -> Iterator[_Alertmanager]:
    server = _Alertmanager(require_server("prometheus-alertmanager"), tmp_path)
    yield server
    server.kill()


async def test_an_alertmanager_has_an_alert_while_an_event_lasts(alertmanager: _Alertmanager) -> None:
    channel = AlertmanagerChannel("am", alertmanager.url)

    await channel.send(_message("begin", 1))
    assert alertmanager.alerts() == {("event-1", "alert", "ALERT 1")}
    await channel.send(_message("update", 2, "CRITICAL"))
    assert alertmanager.alerts() == {("event-1", "critical", "CRITICAL 2")}
    await channel.send(_message("end", 3, "CRITICAL"))
    assert alertmanager.alerts() == set()
    await channel.close()


async def test_an_alertmanager_that_lost_all_is_told_again_by_the_next_run(alertmanager: _Alertmanager) -> None:
    alertmanager.kill()
    silent = AlertmanagerChannel("am", alertmanager.url)
    with pytest.raises(DeliveryError):
        await silent.send(_message("begin", 1))
    await silent.close()
    alertmanager.start()

    channel = AlertmanagerChannel("am", alertmanager.url)
    channel.resume([_message("begin", 1, thread="old"), _message("end", 2, thread="old"), _message("begin", 1)])
    await channel.refresh()

    assert alertmanager.alerts() == {("event-1", "alert", "ALERT 1")}
    await channel.close()


@pytest.fixture
def redis_server(
    require_server: Callable[[str], Path], tmp_path: Path
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = _free_port()
    server = subprocess.Popen(
        [require_server("redis-server"), "--port", str(port), "--dir", str(tmp_path), "--save", ""],
        stdout=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    _until(answers)
    yield port, server
    server.kill()
    server.wait()


async def test_redis_publishes_messages(redis_server: tuple[int, subprocess.Popen[bytes]]) -> None:
    port, server = redis_server
    reader: Redis = Redis(port=port)
    heard = reader.pubsub()
    await heard.subscribe("liqtape:messages")
    channel = channel_of("redis", ChannelSettings("redis", url=f"redis://127.0.0.1:{port}"))
    got = None
    async with asyncio.timeout(_SECONDS):
        while await heard.get_message(timeout=1.0) is None:
            pass
        await channel.send(_message("begin", 1))
        while got is None:
            got = await heard.get_message(ignore_subscribe_messages=True, timeout=1.0)
    await heard.aclose()  # type: ignore[no-untyped-call]
    await reader.aclose()
    server.kill()
    server.wait()

    assert json.loads(got["data"])["key"] == "event-1/1"
    with pytest.raises(DeliveryError):
        await channel.send(_message("begin", 2))
    await channel.close()


async def test_a_webhook_that_refuses_gets_no_second_attempt_and_one_that_is_busy_does() -> None:
    webhook = _Webhook(_free_port(), b"key")
    settings = ChannelSettings("webhook", url=f"http://127.0.0.1:{webhook.port}/", secret_env="KEY")
    channel = channel_of("hook", settings, {"KEY": "key"})
    for status, error in ((404, DeliveryRefused), (429, DeliveryError), (503, DeliveryError)):
        webhook.status = status
        with pytest.raises(DeliveryError) as raised:
            await channel.send(_message("begin", 1))
        assert type(raised.value) is error
    webhook.status = 200
    await channel.send(_message("begin", 1))
    await channel.close()
    webhook.stop()

    assert (webhook.keys, webhook.forged) == (["event-1/1"], 0)


# A run that makes messages 1 to N, one every 10 ms, and goes on where its kept state says; it is killed now and then.
_RUN = """
import asyncio, sys
from pathlib import Path
from liqtape.alarms.delivery.channelfactory import channels_of
from liqtape.alarms.delivery.dispatcher import Dispatcher
from liqtape.alarms.policy.messages import AddressedMessage, AlarmMessage
from liqtape.alarmsettings import ChannelSettings
import msgspec

async def main():
    channels = msgspec.json.decode(sys.argv[2], type=dict[str, ChannelSettings])
    last = int(sys.argv[3])
    dispatcher = Dispatcher(channels_of(channels), Path(sys.argv[1]))
    made = int(await dispatcher.open() or b"0")
    dispatcher.start()
    print("began", made, flush=True)
    while made < last:
        made += 1
        thread = f"event-{made}"
        one = AlarmMessage(f"{thread}/1", "begin", "market", "ALERT", 1, f"title {made}", "text", thread)
        # Apprise itself sends one mail in 5.5 s at most.
        names = [name for name in channels if name != "mail" or made % 20 == 1]
        dispatcher.submit([AddressedMessage(name, one) for name in names], str(made).encode())
        await asyncio.sleep(0.01)
    while await dispatcher.waiting():
        await asyncio.sleep(0.05)
    await dispatcher.stop()

asyncio.run(main())
"""


class _Mail:
    """A mail server that keeps the subjects of what it gets."""

    def __init__(self, port: int) -> None:
        aiosmtpd = pytest.importorskip("aiosmtpd.controller")
        self.port, self.subjects = port, []  # type: ignore[var-annotated]
        outer = self

        class Take:
            async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
                lines = envelope.content.decode().splitlines()
                outer.subjects += [line.partition(": ")[2] for line in lines if line.startswith("Subject: ")]
                return "250 OK"

        self._controller = aiosmtpd.Controller(Take(), hostname="127.0.0.1", port=port)
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()


def test_through_kills_and_outages_nothing_is_lost_and_nothing_doubled_but_by_its_key(  # noqa: PLR0915
    tmp_path: Path, alertmanager: _Alertmanager
) -> None:
    pytest.importorskip("apprise")
    last = 60
    hook_port, mail_port = _free_port(), _free_port()
    webhook, mail = _Webhook(hook_port, b"key"), _Mail(mail_port)
    channels = {
        "hook": {"kind": "webhook", "url": f"http://127.0.0.1:{hook_port}/", "secret_env": "ALARM_KEY"},
        "mail": {"kind": "apprise", "url_env": "ALARM_MAIL"},
        "am": {"kind": "alertmanager", "url": alertmanager.url},
    }
    environ = os.environ | {
        "ALARM_KEY": "key",
        "ALARM_MAIL": f"mailto://127.0.0.1:{mail_port}/?from=liqtape@example.org&to=you@example.org&mode=insecure",
    }
    arguments = [sys.executable, "-c", _RUN, str(tmp_path / "alarms.sqlite"), json.dumps(channels), str(last)]

    def begin() -> subprocess.Popen[str]:
        run = subprocess.Popen(arguments, env=environ, stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None
        assert run.stdout.readline().startswith("began")
        return run

    def kill(run: subprocess.Popen[str]) -> None:
        run.send_signal(signal.SIGKILL)
        run.communicate()

    run = begin()
    _until(lambda: len(webhook.keys) >= 5)
    kill(run)  # while everything works
    webhook.stop()
    alertmanager.kill()
    run = begin()
    _until(lambda: len(set(mail.subjects)) >= 2)  # the mail does not wait for the others
    mail.stop()
    kill(run)  # while nothing works
    heard = webhook.keys
    webhook = _Webhook(hook_port, b"key")
    webhook.keys += heard
    alertmanager.start()
    subjects = mail.subjects
    run = begin()
    _until(lambda: len(set(webhook.keys)) >= 30)
    mail = _Mail(mail_port)
    mail.subjects += subjects
    try:
        assert run.wait(timeout=2 * _SECONDS) == 0
        run.communicate()
        keys, titles = Counter(webhook.keys), Counter(mail.subjects)
        assert set(keys) == {f"event-{number}/1" for number in range(1, last + 1)}
        assert set(titles) == {f"title {number}" for number in range(1, last + 1, 20)}
        # A kill between the answer and its note sends one message again, under its key.
        assert keys.total() <= last + 2
        assert titles.total() <= len(titles) + 2
        assert webhook.forged == 0
        assert {thread for thread, _, _ in alertmanager.alerts()} == {f"event-{n}" for n in range(1, last + 1)}
    finally:
        webhook.stop()
        mail.stop()


def test_a_channel_that_cannot_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n", encoding="utf-8")
    for settings, said in (
        (ChannelSettings("webhook", url_env="NO_SUCH"), "the environment has no NO_SUCH"),
        (ChannelSettings("webhook", url_file=str(tmp_path / "none")), "cannot read"),
        (ChannelSettings("webhook", url="http://x", secret_file=str(empty)), "is empty"),
        (ChannelSettings("webhook", url_env="HOME_PAGE"), "must begin with http:// or https://"),
        (ChannelSettings("python", target="no.such.module:function"), "cannot import no.such.module:function"),
        (ChannelSettings("python", target="sys:maxsize"), "is no function"),
        (ChannelSettings("apprise", url="nosuch"), "does not know an address like this"),
    ):
        with pytest.raises(ConfigurationError, match=f"alerts.channels.phone: .*{said}"):
            channel_of("phone", settings, {"HOME_PAGE": "ftp://x"})
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(MissingExtra, match="'alerts'"):
        channel_of("phone", ChannelSettings("apprise", url="mailto://x"))


_heard: list[str] = []


async def test_a_function_is_called_and_one_that_raises_is_called_again(caplog: pytest.LogCaptureFixture) -> None:
    def takes(message: AlarmMessage) -> None:
        _heard.append(message.key)

    async def fails(_message: AlarmMessage) -> None:
        raise ZeroDivisionError

    sys.modules["alarm_functions"] = type(sys)("alarm_functions")
    vars(sys.modules["alarm_functions"]).update(takes=takes, fails=fails)
    try:
        await channel_of("f", ChannelSettings("python", target="alarm_functions:takes")).send(_message("begin", 1))
        with pytest.raises(DeliveryError, match="ZeroDivisionError"):
            await channel_of("f", ChannelSettings("python", target="alarm_functions:fails")).send(_message("begin", 1))
    finally:
        del sys.modules["alarm_functions"]
    await channel_of("log", ChannelSettings("log")).send(_message("begin", 1))

    assert _heard == ["event-1/1"]
    assert [record.getMessage() for record in caplog.records] == ["event-1 ALERT 1"]


async def test_a_killed_service_goes_on_with_its_event_and_tells_nobody_twice(
    tmp_path: Path, alertmanager: _Alertmanager
) -> None:
    webhook = _Webhook(_free_port(), b"key")
    write_warm_start(tmp_path / "warm.json")
    async with Simulator("cascade", 1, 1.0) as simulator:
        lines = [
            f'[price]\nspot_url = "{simulator.ws_url("binance")}"',
            f'[alerts.channels.hook]\nkind = "webhook"\nurl = "http://127.0.0.1:{webhook.port}/"\nsecret_env = "KEY"',
            f'[alerts.channels.am]\nkind = "alertmanager"\nurl = "{alertmanager.url}"',
        ]
        for name in DIALECTS:
            addresses = f'ws_url = "{simulator.ws_url(name)}"\nrest_url = "{simulator.rest_url(name)}"'
            lines.append(f"[venues.{name}]\n{addresses}")
        config = tmp_path / "liqtape.toml"
        config.write_text("\n".join(lines), encoding="utf-8")
        options = [f"--config={config}", "--redis=off", f"--history={tmp_path / 'history'}"]
        options.append(f"--levels={tmp_path / 'warm.json'}")

        def begin() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, "-m", "liqtape", "run", *options],
                env=os.environ | {"KEY": "key", "XDG_DATA_HOME": str(tmp_path)},
                stdout=subprocess.DEVNULL,
            )

        alertmanager.kill()  # it is away when the event begins
        run = begin()
        try:
            await asyncio.to_thread(_until, lambda: bool(webhook.keys))
            run.kill()
            run.wait()
            alertmanager.start()
            run = begin()
            await asyncio.to_thread(_until, lambda: bool(alertmanager.alerts()))
        finally:
            run.kill()
            run.wait()
            webhook.stop()

    threads = {key.partition("/")[0] for key in webhook.keys if key.startswith("event-")}
    assert len(threads) == 1
    assert threads == {thread for thread, _, _ in alertmanager.alerts() if thread.startswith("event-")}
    # The kill may have come between an answer and its note: that message comes again, with its key.
    assert len(webhook.keys) <= len(set(webhook.keys)) + 1
    assert webhook.forged == 0

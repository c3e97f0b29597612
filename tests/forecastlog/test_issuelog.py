"""The log of forecasts: on the disk before the outcome, bounded, and read again."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.forecast.events import T0
from tests.polling import until

from liqtape.errors import ConfigurationError
from liqtape.forecast.forecaster import TARGETS, Forecast
from liqtape.forecast.issued import IssuedForecast, Judged, issued_line, issued_of, judged
from liqtape.forecast.streamforecaster import Issue
from liqtape.forecastlog.issuefiles import IssueFiles, issue_files, read_issues
from liqtape.forecastlog.issuewriter import IssueWriter


def _issued(number: int, p: float | None = 0.25, reached: tuple[int, ...] = (0, 0), why: str = "") -> IssuedForecast:
    at_ms = T0 + 10_000 * number
    made = tuple(Forecast(at_ms, target, p, 0.01, "m", "" if p is not None else why) for target in TARGETS)
    shown = tuple(replace(forecast, probability=None, why=why) if why else forecast for forecast in made)
    return issued_of(Issue(at_ms, "abc", made, reached), shown, "market", "m", at_ms + 2_000)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    issues = [_issued(number) for number in range(20)]
    files = IssueFiles(tmp_path / "log", 20_000_000)
    files.append(issues[:5])
    assert list(read_issues(tmp_path / "log")) == issues[:5]  # while it is being written
    files.append(issues[5:])
    files.close()
    assert list(read_issues(tmp_path / "log")) == issues
    assert list(read_issues(issue_files(tmp_path / "log")[0])) == issues


def test_a_run_begins_a_file_of_its_own_and_the_oldest_go(tmp_path: Path) -> None:
    def size() -> int:
        return sum(path.stat().st_size for path in issue_files(tmp_path))

    written = 0
    files = IssueFiles(tmp_path, 10_000_000)
    many = [_issued(number) for number in range(3_000)]
    while written < 25_000_000:
        files.append(many)
        written += sum(map(len, map(issued_line, many)))
        assert size() <= 10_000_000 + sum(map(len, map(issued_line, many)))
    files.close()
    names = [path.name for path in issue_files(tmp_path)]
    assert names[0] > "forecasts-00000002.ndjson"
    again = IssueFiles(tmp_path, 10_000_000)
    again.append([_issued(1)])
    again.close()
    assert issue_files(tmp_path)[-1].name > names[-1]


def test_a_line_that_a_kill_cut_is_counted_and_the_rest_is_there(tmp_path: Path) -> None:
    path = tmp_path / "forecasts-00000001.ndjson"
    path.write_bytes(issued_line(_issued(1)) + issued_line(_issued(2))[:-9])
    (tmp_path / "forecasts-00000002.ndjson").write_bytes(issued_line(_issued(3)))
    log = read_issues(tmp_path)

    assert [issued.at_ms for issued in log] == [_issued(1).at_ms, _issued(3).at_ms]
    assert (log.torn, log.broken) == (1, [])


def test_what_is_no_line_of_a_log_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "forecasts-00000001.ndjson"
    path.write_bytes(b'{"at": 1}\n' + issued_line(replace(_issued(1), schema=9)) + issued_line(_issued(2)))
    log = read_issues(path)

    assert len(list(log)) == 1
    assert [said.partition(": ")[0] for said in log.broken] == [f"{path}, line 1", f"{path}, line 2"]
    assert "schema 9, known is 1" in log.broken[1]


def test_no_log_is_said(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.ndjson"):
        with pytest.raises(ConfigurationError, match="no log of forecasts"):
            read_issues(path)


def test_outcomes_are_those_of_later_lines() -> None:
    log = [_issued(number, 0.25, (5 if number == 6 else 0, 10 if number == 31 else 9)) for number in range(32)]
    found = list(judged(log))

    first, second = TARGETS
    assert found[0] == Judged(T0, first, 0.25, 0.01, is_reached=True, is_shown=True)
    assert [one.is_reached for one in found if one.target == first] == [True] + [False] * 25
    assert [(one.at_ms, one.is_reached) for one in found if one.target == second] == [(T0, False), (T0 + 10_000, True)]


def test_what_cannot_be_judged_is_left_out_and_what_was_withheld_is_marked() -> None:
    log = [_issued(0, None, why="down"), _issued(1), _issued(2, why="withdrawn"), _issued(8)]
    assert [(one.at_ms, one.is_shown) for one in judged(log)] == [(T0 + 20_000, False)]


def test_a_writer_writes_at_once_and_ends_with_all(tmp_path: Path) -> None:
    async def written() -> None:
        writer = IssueWriter(IssueFiles(tmp_path, 20_000_000))
        task = asyncio.create_task(writer.run())
        writer.offer(_issued(1))
        await until(lambda: writer.written)
        assert len(list(read_issues(tmp_path))) == 1
        writer.offer(_issued(2))
        task.cancel()
        await writer.end()
        assert (writer.written, writer.lost, writer.health(0).state) == (2, 0, "live")

    asyncio.run(written())
    assert len(list(read_issues(tmp_path))) == 2


def test_a_disk_that_fails_loses_what_is_counted_and_delays_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")

    async def lost() -> None:
        writer = IssueWriter(IssueFiles(tmp_path / "file" / "log", 20_000_000))
        for number in range(1_005):
            writer.offer(_issued(number))
        assert writer.lost == 5
        await writer.flush()
        assert (writer.written, writer.lost) == (0, 1_005)
        health = writer.health(0)
        assert health.state == "failing"
        assert health.detail.startswith("cannot be written: ")
        await writer.end()

    asyncio.run(lost())

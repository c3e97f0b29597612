"""Following the log while retention removes files under the reader."""

from collections.abc import Callable
from pathlib import Path

import pytest

from liqtape.events import Liquidation
from liqtape.history.archive.archiver import Archiver
from liqtape.history.log import follow
from liqtape.history.log.follow import Follower
from liqtape.history.log.store import Store

_HOUR_MS = 3_600_000


@pytest.fixture
def sealed(liquidations: Callable[..., list[Liquidation]], tmp_path: Path) -> Path:
    """Ten sealed events."""
    events = liquidations(10)
    store = Store(tmp_path)
    store.write(events)
    store.mark_hour(events[0].event_ms // _HOUR_MS * _HOUR_MS)
    store.close()
    archiver = Archiver(tmp_path)
    assert archiver.seal(events[0].event_ms + 2 * _HOUR_MS) == 10
    archiver.close()
    return tmp_path


@pytest.mark.parametrize("misses", [0, 1, 2])
def test_a_file_that_retention_took_meanwhile_is_asked_for_again(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, misses: int
) -> None:
    read, left = follow._read, [misses]

    def removed_meanwhile(path: Path) -> list[tuple[int, Liquidation]]:
        if left[0]:
            left[0] -= 1
            raise FileNotFoundError(path)
        return read(path)

    monkeypatch.setattr(follow, "_read", removed_meanwhile)
    follower = Follower(sealed)

    assert [seq for seq, _ in follower.after(0, 100)] == list(range(1, 11))
    assert left == [0]
    follower.close()


def test_a_file_that_stays_away_is_an_error_and_not_an_empty_log(sealed: Path) -> None:
    for path in sealed.rglob("*.parquet"):
        path.unlink()
    follower = Follower(sealed)

    with pytest.raises(FileNotFoundError):
        follower.after(0, 100)
    follower.close()


def test_what_retention_took_is_passed_over_once_the_list_says_so(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def retention(path: Path) -> list[tuple[int, Liquidation]]:
        archiver = Archiver(sealed)
        archiver.connection.execute("DELETE FROM partitions")
        archiver.connection.commit()
        archiver.close()
        raise FileNotFoundError(path)

    monkeypatch.setattr(follow, "_read", retention)
    follower = Follower(sealed)

    assert follower.after(0, 100) == []
    follower.close()

"""The file of --coverage: intervals as they are, and a clear line for what is none."""

from pathlib import Path

import pytest

from liqtape.errors import ConfigurationError
from liqtape.eventfiles.coveragefile import load_coverage


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "up.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "start_ms,end_ms\n1587019035000,1587086175000\n1587095655000,1587171975000\n",
        "\ufeffend_ms, start_ms ,hours\r\n1587086175000, 1587019035000,18\r\n\r\n1587171975000,1587095655000,21\r\n",
    ],
    ids=["plain", "other order, spaces, a mark, blank lines"],
)
def test_intervals_come_as_they_are(tmp_path: Path, text: str) -> None:
    spans = [(1587019035000, 1587086175000), (1587095655000, 1587171975000)]

    assert load_coverage(_file(tmp_path, text)) == spans


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column start_ms and no end_ms"),
        ("start_ms,until\n1,2\n", "no column end_ms"),
        ("start_ms,end_ms\n", "no interval there"),
        ("start_ms,end_ms\n1587019035000,1587086175000\n1587095655000,\n", "line 3: end_ms is ''"),
        ("start_ms,end_ms\n1587095655000\n", "line 2: end_ms is ''"),
        ("start_ms,end_ms\n1587095655,1587171975\n", "line 2: start_ms is '1587095655'; give ms since 1970"),
        ("start_ms,end_ms\n2020-04-16T06:37:15Z,1587171975000\n", "line 2: start_ms is '2020-04-16T06:37:15Z'"),
        ("start_ms,end_ms\n1587095655000.0,1587171975000\n", "line 2: start_ms is '1587095655000.0'"),
        ("start_ms,end_ms\n-1587095655000,1587171975000\n", "line 2: start_ms is '-1587095655000'"),
        (f"start_ms,end_ms\n{'9' * 5000},1587171975000\n", "line 2: start_ms is '9999"),
        ("start_ms,end_ms\n1587171975000,1587095655000\n", "line 2: end_ms 1587095655000 is not behind start_ms"),
        ("start_ms,end_ms\n1587171975000,1587171975000\n", "is not behind start_ms 1587171975000; mend or remove"),
        (f'start_ms,end_ms\n"{"9" * 200_000}', "line 2: field larger"),
    ],
)
def test_what_is_no_interval_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = _file(tmp_path, text)

    with pytest.raises(ConfigurationError) as error:
        load_coverage(path)

    assert said in str(error.value)
    assert str(error.value).startswith(f"--coverage {path}")
    assert len(str(error.value)) < 400

"""A few scenarios of the many: `make chaos` runs 200."""

import pytest
from chaos.judge import Verdict
from chaos.many import run_all, table


# Between them: kills, both servers restarted, TLS, wrong clocks, two connections a venue, every long outage.
@pytest.mark.parametrize("seeds", [(1, 2, 12, 20), (22, 24, 45, 52)], ids=str)
async def test_nothing_is_lost_doubled_or_hidden(seeds: tuple[int, ...]) -> None:
    verdicts = await run_all(seeds, workers=4)

    assert [(verdict.seed, verdict.problems) for verdict in verdicts if not verdict.is_good] == []
    assert sum(verdict.delivered for verdict in verdicts) > 1_000


def test_the_table_sums_up_and_says_how_to_repeat_a_failure() -> None:
    bad = Verdict(7, events=5, delivered=6, lost=1, problems=["lost 1 of 1"])
    text = table([Verdict(6, events=10, delivered=10, excused=2, excused_ms=12.5), bad], 30.0)

    sums = [cell.strip() for cell in text.splitlines()[2].split("|")]
    assert sums[1:9] == ["2", "15", "16", "1", "0", "0", "0", "2"]
    assert "python -m chaos --seed 7" in text
    assert "seed 6: 2 arrived up to 12.5 ms before our kill" in text

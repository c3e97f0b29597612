"""Training on a stream whose truth is known."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from tests.training.streams import T0, clustered

from liqtape.cli.app import main
from liqtape.errors import ConfigurationError
from liqtape.events import Liquidation, Side
from liqtape.forecast.features import FEATURES, StreamFeatures
from liqtape.forecast.forecaster import TARGETS
from liqtape.forecast.model import CascadeModel, model_bytes, model_of
from liqtape.forecast.streamforecaster import StreamForecaster
from liqtape.forecast.watchedspans import WatchedSpans
from liqtape.training import modeltraining
from liqtape.training.fitting import HAWKES, LEARNERS, KnownPast, fitted, said_by, scorers_before
from liqtape.training.modeltraining import TrainedOn, train
from liqtape.training.pastmarks import past_stream
from liqtape.training.plainexcitation import excited_times
from liqtape.training.trainingrows import DAY_MS, PastStream, TrainingRows, rows_of
from liqtape.training.walkforward import folds_of, joined, walk_forward

_ON = TrainedOn(("bybit",), "BTCUSDT", 3)


@pytest.fixture(scope="module")
def stream() -> PastStream:
    return clustered(1, 8.0)


@pytest.fixture(scope="module")
def past(stream: PastStream) -> KnownPast:
    return KnownPast(rows_of(stream, 60_000), excited_times(stream.times_ms), WatchedSpans.between(stream.spans))


@pytest.fixture(scope="module")
def model(stream: PastStream) -> CascadeModel:
    return train(stream, _ON, with_boosting=False, every_ms=60_000)


def test_rows_are_what_a_forecaster_sees_and_what_came(stream: PastStream, past: KnownPast) -> None:
    features, events = StreamFeatures(), stream.times_ms.tolist()
    for at_ms, micro, side in zip(events, stream.micro.tolist(), stream.sides.tolist(), strict=True):
        features.add_at(at_ms, micro, side)
    some = range(0, len(past.rows), 997)
    for row in some:
        at_ms = int(past.rows.at_ms[row])
        assert past.rows.features[row].tolist() == features.row(at_ms)
        for place, target in enumerate(TARGETS):
            came = sum(at_ms < event <= at_ms + 1000 * target.seconds for event in events)
            assert past.rows.reached[row, place] == (came >= target.count)
    assert past.rows.reached.any(axis=0).all()


def test_rows_leave_out_what_was_not_watched_before_or_behind(stream: PastStream) -> None:
    gap = (T0 + DAY_MS, T0 + DAY_MS + 7_200_000)
    holed = replace(stream, spans=[(T0, gap[0]), (gap[1], T0 + 2 * DAY_MS)])
    rows = rows_of(holed, 60_000)

    left_out = (rows.at_ms > gap[0] - 300_000) & (rows.at_ms < gap[1] + 3_600_000 - 180_000)
    assert not left_out.any()
    assert (rows.at_ms[0], rows.at_ms[-1]) == (T0 + 3_600_000 - 180_000, T0 + 2 * DAY_MS - 300_000)


def test_a_model_of_earlier_days_knows_nothing_of_later_ones(stream: PastStream, past: KnownPast) -> None:
    day = T0 // DAY_MS + 5
    kept = stream.times_ms < day * DAY_MS
    cut = PastStream(stream.times_ms[kept], stream.micro[kept], stream.sides[kept], [(T0, day * DAY_MS)])
    known = KnownPast(rows_of(cut, 60_000), excited_times(cut.times_ms), WatchedSpans.between(cut.spans))

    for kind in LEARNERS:
        assert fitted(kind, known, day, 0) == fitted(kind, past, day, 0)


def test_a_fold_is_forecast_event_by_event_as_the_walk_forward_did(stream: PastStream, past: KnownPast) -> None:
    day = T0 // DAY_MS + 5
    forecaster = StreamForecaster(scorers_before(past, day), WatchedSpans.between(stream.spans))
    for at_ms, micro, side in zip(stream.times_ms.tolist(), stream.micro.tolist(), stream.sides.tolist(), strict=True):
        name: Side = "long" if side > 0 else "short"
        forecaster.update(Liquidation("bybit", "BTCUSDT", "BTCUSDT", name, 1.0, "fill", None, micro / 1_000_000, at_ms))
    tested = past.rows.only(past.rows.days == day)
    said = {
        (kind, target): said_by(model, tested.features)
        for kind in LEARNERS
        for place, target in enumerate(TARGETS)
        if (model := fitted(kind, past, day, place)) is not None
    }
    for row in range(0, len(tested), 200):
        for forecast in forecaster.at(int(tested.at_ms[row])):
            if forecast.model in LEARNERS:
                expected = said[forecast.model, forecast.target][row]
                assert forecast.probability == pytest.approx(expected, rel=1e-9)


def test_it_finds_skill_where_there_is_some(model: CascadeModel) -> None:
    best = {score.model: score for score in model.scores if score.target == TARGETS[0]}

    hawkes = best[HAWKES]
    assert hawkes.brier_skill is not None
    assert hawkes.brier_skill > 0.02
    assert hawkes.gain is not None
    assert hawkes.gain > 0.3
    assert [own.verdict for own in model.targets] == ["", ""]


def test_shuffled_outcomes_show_no_skill(past: KnownPast) -> None:
    rows = past.rows
    # By whole hours, so that targets keep their clusters and lose what led to them.
    hours = np.split(np.arange(len(rows)), range(60, len(rows), 60))
    order = np.concatenate([hours[place] for place in np.random.default_rng(5).permutation(len(hours))])
    shuffled = TrainingRows(rows.at_ms, rows.features, rows.reached[order], rows.every_ms)
    exam = joined(list(walk_forward(replace(past, rows=shuffled), 1, with_boosting=False)))

    for score in exam.scores():
        assert score.gain is not None
        assert score.gain_se is not None
        assert score.gain < 0.05 + 2 * score.gain_se
        assert score.brier_skill is not None
        assert score.brier_skill < 0.005


@pytest.fixture(scope="module")
def event_file(stream: PastStream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stream as an event file, the last day first."""
    path = tmp_path_factory.mktemp("events") / "events.csv"
    columns = zip(stream.times_ms.tolist(), stream.micro.tolist(), stream.sides.tolist(), strict=True)
    rows = [
        f"{at_ms},bybit,BTCUSDT,{'LONG' if side > 0 else 'SHORT'},80000,,{micro / 1_000_000!r}"
        for at_ms, micro, side in columns
    ]
    rows.sort(key=lambda row: row[:8], reverse=True)
    path.write_text("\n".join(["ts_ms,venue,symbol,side,price,quantity_base,value_usd", *rows]))
    return path


def test_the_command_writes_the_same_bytes(
    stream: PastStream,
    event_file: Path,
    model: CascadeModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    """The same events and seed give the same model, whatever order the file has them in."""
    out, spans = tmp_path / "model.json", tmp_path / "coverage.csv"
    spans.write_text("start_ms,end_ms\n{},{}\n".format(*stream.spans[0]))
    monkeypatch.setattr(modeltraining, "rows_of", lambda past, _: rows_of(past, 60_000))
    options = ["--quick", "--seed", "3", "--venue", "bybit", "--symbol", "BTCUSDT", "--coverage", str(spans)]

    assert main(["train", str(event_file), "--out", str(out), "--json", *options]) == 0
    assert out.read_bytes() == model_bytes(model)
    assert model_of(out.read_bytes(), "m") == model
    said = msgspec.json.decode(capsysbinary.readouterr().out)
    assert said["identity"] == model.identity()
    assert msgspec.convert(said["card"], CascadeModel) == model


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--venue", "okx"], "--venue okx: not there; there are bybit"),
        (["--symbol", "ETHUSDT"], "--symbol ETHUSDT: not there; there are BTCUSDT"),
        (["--out", "absent/model.json"], "--out absent/model.json: there is no directory absent"),
    ],
)
def test_the_command_refuses_in_one_line(
    event_file: Path, tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.json"
    assert main(["train", str(event_file), "--out", str(out), *options]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert (told.out, told.err.count("\n"), out.exists()) == ("", 1, False)


def test_its_card_says_what_it_is_made_from(stream: PastStream, model: CascadeModel) -> None:
    assert (model.venues, model.instrument, model.seed) == (("bybit",), "BTCUSDT", 3)
    assert (model.events, model.days) == (len(stream.times_ms), 8)
    assert T0 < model.from_ms < model.calibrated_from_ms < model.until_ms <= T0 + 8 * DAY_MS
    assert {score.model for score in model.scores} == {"base rate", "velocity_60", "plain hawkes", "logistic"}
    assert model.made_by.startswith("liqtape ")


def test_folds_are_whole_days_in_order_and_cover_the_end(past: KnownPast) -> None:
    folds = folds_of(past.rows)
    assert [fold.from_day for fold in folds[1:]] == [fold.until_day for fold in folds[:-1]]
    assert folds[-1].until_day == past.rows.days[-1] + 1
    assert folds[0].from_day == past.rows.days[0] + 3


@pytest.mark.parametrize(
    ("days", "per_day", "said"),
    [
        (3.0, 350.0, "3.0 days of watched time on 3 days, 7 are needed"),
        (8.0, 24.0, r"happened \d+ times, 30 are needed"),
    ],
)
def test_too_little_is_refused_with_the_reason(days: float, per_day: float, said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^train: too little: .*{said}") as refused:
        train(clustered(2, days, per_day), _ON, every_ms=60_000)
    assert "record longer" in str(refused.value)


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"0\.0 days of watched time on 0 days"):
        train(past_stream([], []), _ON)


def test_columns_of_liquidations() -> None:
    sides: list[tuple[int, Side | None, float | None]] = [(5, "long", 1.5), (6, "short", None), (7, None, 2.0)]
    events = [Liquidation("bybit", "BTCUSDT", "BTCUSDT", side, 1.0, "fill", None, usd, at) for at, side, usd in sides]
    stream = past_stream(events, [(0, 10)])
    assert stream.times_ms.tolist() == [5, 6, 7]
    assert stream.micro.tolist() == [1_500_000, 0, 2_000_000]
    assert stream.sides.tolist() == [1, -1, 0]


def test_every_feature_is_learned_from(model: CascadeModel) -> None:
    for own in model.targets:
        assert own.features in {(), FEATURES}

"""The text format is read back by the official parser, whatever stands in labels, help and values."""

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from liqtape.exposition.families import FAMILIES, Family
from liqtape.exposition.textformat import TextFormat
from liqtape.histogram import Histogram

_VALUES = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False))
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=30)


@given(st.dictionaries(_TEXT, _VALUES, max_size=5), _TEXT)
def test_samples_are_read_back(values: dict[str, float], help_text: str) -> None:
    text = TextFormat()
    text.add(
        Family("liqtape_x", "gauge", help_text.replace("\n", " ").strip(), ("name",)),
        [((k,), v) for k, v in values.items()],
    )

    [family] = text_string_to_metric_families(bytes(text).decode())

    assert {sample.labels["name"]: sample.value for sample in family.samples} == values
    assert text.series == len(values)


def test_what_is_not_defined_has_no_line() -> None:
    text = TextFormat()
    text.add(Family("liqtape_x", "gauge", "X.", ("name",)), [(("a",), None), (("b",), 0)])

    assert b'name="a"' not in bytes(text)
    assert b'liqtape_x{name="b"} 0\n' in bytes(text)


@given(st.lists(st.floats(0, 100), max_size=50))
def test_histograms_count_as_a_recount_does(seconds: list[float]) -> None:
    bounds = (0.001, 0.1, 5.0)
    histogram = Histogram(bounds)
    for one in seconds:
        histogram.observe(one)
    text = TextFormat()
    text.add_histograms(Family("liqtape_h", "histogram", "H.", ("venue",)), [(("okx",), histogram)])

    [family] = text_string_to_metric_families(bytes(text).decode())
    samples = {(sample.name, sample.labels.get("le")): sample.value for sample in family.samples}

    for bound in (*bounds, math.inf):
        le = "+Inf" if bound == math.inf else repr(bound)
        assert samples["liqtape_h_bucket", le] == sum(one <= bound for one in seconds)
    assert samples["liqtape_h_count", None] == len(seconds)
    assert math.isclose(samples["liqtape_h_sum", None], math.fsum(seconds), abs_tol=1e-9)


def test_families_keep_the_conventions() -> None:
    names = [family.name for family in FAMILIES]

    assert len(names) == len(set(names)) > 50
    assert [f.name for f in FAMILIES if (f.kind == "counter") != f.name.endswith("_total")] == []
    assert [f.name for f in FAMILIES if not f.name.startswith(("liqtape_", "process_"))] == []
    assert [f.name for f in FAMILIES if not f.help.endswith(".")] == []

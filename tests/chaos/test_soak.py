from chaos.soak import Sample, is_long, judged, slope


def samples(rss: list[float], p99: list[float] | None = None) -> list[Sample]:
    latencies = p99 or [2.0] * len(rss)
    return [
        Sample(60.0 * i, mb, 1.0, ms, 100 * i, 0, balanced=True)
        for i, (mb, ms) in enumerate(zip(rss, latencies, strict=True))
    ]


def test_flat_memory_and_latency_are_good_whatever_the_warm_up_was() -> None:
    assert judged(samples([50.0 + i for i in range(20)] + [70.0, 70.5, 69.5] * 10)) == []


def test_memory_that_grows_is_found() -> None:
    found = judged(samples([50.0 + i for i in range(60)]))
    assert len(found) == 1
    assert found[0].startswith("memory grew by")
    assert slope(samples([50.0 + i for i in range(60)]), "rss_mb") == 60.0


def test_memory_is_not_judged_while_what_is_kept_still_fills() -> None:
    short = samples([50.0 + 3.0 * i for i in range(20)])
    assert not is_long(short)
    assert judged(short) == []


def test_latency_that_rises_is_found() -> None:
    assert judged(samples([50.0] * 40, [2.0] * 28 + [9.0] * 12))[0].startswith("p99 latency rose")

"""Metrics read back mean what was counted."""

from math import isnan

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from flows.exposition import Samples, read_samples


def test_totals_add_up_over_labels_and_can_be_narrowed() -> None:
    registry = CollectorRegistry()
    offers = Counter("regulars_offers", "Offers", ["outcome"], registry=registry)
    offers.labels(outcome="shown").inc(3)
    offers.labels(outcome="clicked").inc(2)
    Gauge("regulars_customers", "Customers", registry=registry).set(7)

    samples = read_samples(generate_latest(registry).decode())

    assert samples.total("regulars_offers_total") == 5
    assert samples.total("regulars_offers_total", outcome="shown") == 3
    assert samples.total("regulars_customers") == 7
    assert samples.total("regulars_nothing") == 0
    assert not Samples()


def test_a_quantile_lies_between_its_bucket_bounds_and_forgets_what_came_before() -> None:
    registry = CollectorRegistry()
    waits = Histogram("regulars_wait_seconds", "Waits", buckets=(0.01, 0.1, 1.0), registry=registry)
    for _ in range(100):
        waits.observe(0.5)
    before = read_samples(generate_latest(registry).decode())
    for _ in range(100):
        waits.observe(0.05)
    after = read_samples(generate_latest(registry).decode())

    assert 0.01 < after.quantile("regulars_wait_seconds", 0.99, before) <= 0.1
    assert 0.1 < after.quantile("regulars_wait_seconds", 0.9) <= 1.0
    assert isnan(after.quantile("regulars_wait_seconds", 0.5, after))


def test_a_quantile_beyond_the_last_bound_is_that_bound() -> None:
    registry = CollectorRegistry()
    waits = Histogram("regulars_wait_seconds", "Waits", buckets=(0.01, 0.1), registry=registry)
    waits.observe(5.0)

    assert read_samples(generate_latest(registry).decode()).quantile("regulars_wait_seconds", 0.5) == 0.1

"""The roofline by hand, and the laws that any prediction of a replica must keep."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.catalog import Quality
from optimizer.performance.lookup import Lookup
from optimizer.performance.points import Points
from optimizer.performance.roofline import FULL_LOAD_IN_LANE, PLAIN_MULTIPLES, Roofline, model_times_s
from tests.optimizer.performance.small import CARDS, MODEL, card, catalogs, measured_like_the_model, points


def test_ideal_times_of_a_dense_network_by_hand() -> None:
    """10e9 weights of 2 B at 1e12 B/s: 20 ms. Cache of 4 requests of 100 + 10/2 tokens: 4 * 105 * 40000 B: 16.8 us.

    4 tokens times 2 * 10e9 operations at 1e14/s: 0.8 ms a step. A prompt of 100 tokens: 20 ms, and its attention
    4 * 10 layers * 1000 wide * 100^2 / 2 = 2e8 operations: 2 us.
    """
    lookup, wanted = Lookup(catalogs()), points([4.0])
    load = lookup.work(wanted, lookup.configurations(wanted))
    assert load.decode_weights_s[0] == pytest.approx(20e-3)
    assert load.decode_cache_s[0] == pytest.approx(16.8e-6)
    assert load.decode_flop_s[0] == pytest.approx(0.8e-3)
    assert load.prefill_flop_s[0] == pytest.approx(20e-3)
    assert load.prefill_attention_s[0] == pytest.approx(2e-6)
    assert load.decode_link_s[0] == 0.0


def test_model_times_of_one_request_by_hand() -> None:
    """Only weights count: a step takes 1.3 * 20 ms, a prompt 1.7 * 20 ms, and shares one step in ten."""
    lookup, wanted = Lookup(catalogs()), points([1.0])
    load = lookup.work(wanted, lookup.configurations(wanted))
    multiples = dict.fromkeys(PLAIN_MULTIPLES, 0.0) | {"decode_weights": 1.3, "prefill_compute": 1.7, "interference": 1.0}
    ttft_s, tpot_s = model_times_s(load, wanted.output_tokens, multiples)
    assert tpot_s[0] == pytest.approx(26e-3 + 34e-3 / 10)
    assert ttft_s[0] == pytest.approx(34e-3 + 26e-3)


def test_requests_that_memory_cannot_hold_wait() -> None:
    """90 GiB less 20 GB of weights leaves 76.6 GB; at 105 tokens of 40 kB that is 18,246 requests, at 10,500 tokens 182."""
    lookup = Lookup(catalogs())
    for tokens, slots in (((100, 10), 18246), ((10000, 1000), 182)):
        wanted = points([1e6], tokens=tokens)
        load = lookup.work(wanted, lookup.configurations(wanted))
        assert load.in_flight[0] == slots
        assert load.waiting[0] == 1e6 - slots


def test_rate_is_littles_law_and_lies_in_its_band() -> None:
    found = Roofline(catalogs()).predict(points([1.0, 8.0, 64.0]))
    expected = 1e3 * np.array([1.0, 8.0, 64.0]) * 10 / (found.ttft_ms + 9 * found.tpot_ms)
    assert found.output_tokens_per_s == pytest.approx(expected)
    assert (found.low < found.output_tokens_per_s).all()
    assert (found.output_tokens_per_s < found.high).all()
    assert set(found.quality) == {Quality.MODELLED}


def test_more_load_never_shortens_a_time_and_a_faster_card_never_lengthens_one() -> None:
    slow = Roofline(catalogs()).predict(points([1.0, 2.0, 8.0, 64.0, 512.0]))
    fast = Roofline(catalogs()).predict(points([1.0, 2.0, 8.0, 64.0, 512.0], accelerator="fast"))
    for times in (slow.ttft_ms, slow.tpot_ms):
        assert (np.diff(times) >= 0).all()
    assert (fast.tpot_ms < slow.tpot_ms).all()
    assert (fast.ttft_ms < slow.ttft_ms).all()


def test_unknown_names_and_models_too_large_stay_blank() -> None:
    roofline = Roofline(catalogs())
    for wanted in (points([1.0], model="nothing"), points([1.0], accelerator="nothing")):
        assert np.isnan(roofline.predict(wanted).output_tokens_per_s).all()
    large = MODEL.model_copy(update={"name": "large", "parameters_b": 60.0})
    known = catalogs().model_copy(update={"models": (MODEL, large)})
    assert np.isnan(Roofline(known).predict(points([1.0], model="large")).tpot_ms).all()


def test_a_blank_concurrency_gives_the_rate_at_full_load_and_no_times() -> None:
    roofline = Roofline(catalogs())
    blank, full = roofline.predict(points([np.nan])), roofline.predict(points([FULL_LOAD_IN_LANE]))
    assert np.isnan(blank.ttft_ms).all()
    assert np.isnan(blank.tpot_ms).all()
    assert blank.output_tokens_per_s == pytest.approx(full.output_tokens_per_s)


def test_a_tpu_and_a_card_with_a_blank_peak_are_assumed() -> None:
    blank = card("blank").model_copy(update={"peak_tflops": {}})
    known = catalogs().model_copy(update={"accelerators": (*CARDS, blank)})
    assert Roofline(known).predict(points([1.0], accelerator="tensor")).quality[0] == Quality.ASSUMED
    found, same = (Roofline(known).predict(points([1.0], accelerator=name)) for name in ("blank", "one"))
    assert found.quality[0] == Quality.ASSUMED
    assert found.tpot_ms[0] == pytest.approx(same.tpot_ms[0])  # the family's usual ratio is that of `one`


def test_order_and_chunks_change_nothing(fitted: Roofline) -> None:
    wanted = points([1.0, 3.0, 9.0, 27.0, 81.0])
    mixed = Points(
        **{name: getattr(wanted, name) for name in vars(wanted)} | {"accelerator": ["one", "fast", "rival", "one", "tensor"]}
    )
    whole = fitted.predict(mixed)
    order = np.array([4, 2, 0, 1, 3])
    turned = fitted.predict(mixed.take(order))
    single = [fitted.predict(mixed.take(np.array([place]))) for place in range(5)]
    for name in ("ttft_ms", "tpot_ms", "low"):
        assert getattr(turned, name) == pytest.approx(getattr(whole, name)[order], rel=1e-12)
        assert [getattr(one, name)[0] for one in single] == pytest.approx(getattr(whole, name), rel=1e-12)


def test_columns_of_different_lengths_are_refused() -> None:
    wanted = points([1.0, 2.0])
    with pytest.raises(ValueError, match="different lengths"):
        Points(**{name: getattr(wanted, name) for name in vars(wanted)} | {"engine": ["e"]})


@pytest.fixture(scope="module")
def fitted() -> Roofline:
    from optimizer.performance.fit import fit

    known = catalogs([*measured_like_the_model(2.0), *measured_like_the_model(1.5, accelerator="fast", tokens=(1000, 100))])
    return Roofline(known.model_copy(update={"efficiencies": (fit(known),)}))

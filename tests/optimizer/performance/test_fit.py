"""The fit finds what was put in, corrects where points are alike, and its bands hold what was left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from optimizer.catalog import Load, LoadKind
from optimizer.catalog.efficiencies import Efficiencies
from optimizer.instance import Catalogs
from optimizer.performance.calibration import calibrated
from optimizer.performance.fit import fit
from optimizer.performance.folds import errors_by_transfer, groups_of
from optimizer.performance.lookup import Lookup
from optimizer.performance.measured import measured_points
from optimizer.performance.rates import accelerator_rates
from optimizer.performance.regression import Process, damped_least_squares
from optimizer.performance.roofline import PLAIN_MULTIPLES, TRANSFERS, Roofline, model_times_s
from optimizer.read import load_catalogs
from tests.optimizer.performance.small import MODEL, catalogs, measured_like_the_model, points, profile


def with_fit(known: Catalogs) -> Catalogs:
    return known.model_copy(update={"efficiencies": (fit(known),)})


def plain_tpot_ms(load: float, accelerator: str = "one") -> float:
    lookup, wanted = Lookup(catalogs()), points([load], accelerator=accelerator)
    times = model_times_s(lookup.work(wanted, lookup.configurations(wanted)), wanted.output_tokens, PLAIN_MULTIPLES)
    return float(times[1][0] * 1e3)


def test_an_engine_half_as_fast_is_found_between_its_points() -> None:
    """Every measured time is twice the model's at loads 1, 4, 16 and 64; so should be the estimate at load 8."""
    known = with_fit(catalogs(measured_like_the_model(2.0)))
    assert Roofline(known).predict(points([8.0])).tpot_ms[0] == pytest.approx(2.0 * plain_tpot_ms(8.0), rel=0.03)


def test_a_correction_fades_with_what_points_do_not_share() -> None:
    """Measured on one engine, 3 times slower: fully believed there, partly for another engine, less for another family too."""
    roofline = Roofline(with_fit(catalogs(measured_like_the_model(3.0))))
    plain = plain_tpot_ms(16.0)
    here, engine, family = (
        roofline.predict(points([16.0], engine=engine, accelerator=accelerator)).tpot_ms[0] / plain
        for engine, accelerator in (("e", "one"), ("other", "one"), ("other", "rival"))
    )
    assert here == pytest.approx(3.0, rel=0.05)
    assert 1.0 < family < engine < here


def test_the_transfer_names_the_nearest_measured_anchor() -> None:
    roofline = Roofline(with_fit(catalogs(measured_like_the_model(2.0))))
    assert roofline.transfer_of(points([2.0])) == ["shape"]
    assert roofline.transfer_of(points([2.0], accelerator="fast")) == ["sibling"]
    assert roofline.transfer_of(points([2.0], engine="other")) == ["engine"]
    assert roofline.transfer_of(points([2.0], accelerator="rival")) == ["stranger"]


def test_the_same_catalogs_give_the_same_fit_whatever_they_hold_of_efficiencies() -> None:
    known = catalogs([*measured_like_the_model(2.0), *measured_like_the_model(1.2, engine="f")])
    once = fit(known)
    assert fit(known.model_copy(update={"efficiencies": (once,)})) == once
    assert Efficiencies.model_validate_json(json.dumps(once.model_dump(mode="json"))) == once


def test_one_outlier_does_not_bend_its_neighbours() -> None:
    """One of five points reads 10 times too long; the estimate beside it stays within a tenth of the other four."""
    good = measured_like_the_model(1.0)
    more = measured_like_the_model(1.0, tokens=(100, 11))
    bad = profile(5.0, 10.0 * 60.0, 10.0 * plain_tpot_ms(5.0))
    found = Roofline(with_fit(catalogs([*good, *more, bad]))).predict(points([6.0]))
    assert found.tpot_ms[0] == pytest.approx(plain_tpot_ms(6.0), rel=0.1)


def test_taking_a_group_out_equals_fitting_without_it() -> None:
    """The algebra of leaving out against a second solve, on three random points."""
    rng = np.random.default_rng(1)
    root = rng.normal(size=(6, 6))
    covariance, values, noise = root @ root.T, rng.normal(size=6), np.full(6, 0.3)
    group, rest = np.array([1, 4]), np.array([0, 2, 3, 5])
    without = Process.of(covariance[np.ix_(rest, rest)], noise[rest], values[rest])
    expected = values[group] - covariance[np.ix_(group, rest)] @ without.weights
    assert Process.of(covariance, noise, values).left_out(group) == pytest.approx(expected)


def test_least_squares_leave_an_outlier_alone_only_when_robust() -> None:
    data = np.array([1.0, 1.1, 0.9, 1.0, 50.0])
    fits = [
        damped_least_squares(lambda x: (x[0] - data) / 0.1, np.array([2.0]), np.array([100.0]), is_robust=r)[0]
        for r in (True, False)
    ]
    assert fits[0] == pytest.approx(1.0, abs=0.05)
    assert fits[1] == pytest.approx(data.mean(), abs=0.05)


def test_a_rival_that_held_half_the_rate_in_one_test_is_taken_as_slower() -> None:
    """`one` and `rival` have equal figures; in one test they held 1000 and 500 tokens/s: the rival's factor tends to ln(1/2)."""
    timed = measured_like_the_model(1.0)
    held = [
        timed[0].model_copy(
            update={
                "accelerator": name,
                "latency": (),
                "load": Load(kind=LoadKind.HELD_RATE, value=rate, accelerators_measured=1),
            }
        )
        for name, rate in (("one", 1000.0), ("rival", 500.0))
        for _ in range(20)
    ]
    known = catalogs([*timed, *held])
    rates = accelerator_rates(known, PLAIN_MULTIPLES)
    assert rates["one"] == 0.0
    assert rates["rival"] == pytest.approx(np.log(0.5), rel=0.05)
    fitted = Roofline(with_fit(known))
    same, slower = (fitted.predict(points([8.0], accelerator=name, engine="new")).tpot_ms[0] for name in ("one", "rival"))
    assert slower > 1.5 * same


def test_groups_left_out_have_errors_for_every_transfer_they_reach() -> None:
    known = catalogs([*measured_like_the_model(2.0), *measured_like_the_model(2.5, accelerator="fast")])
    calibration = calibrated(known)
    assert groups_of(calibration, ("accelerator",)).tolist() == [1] * 4 + [0] * 4
    errors = errors_by_transfer(calibration)
    assert set(errors) == {*TRANSFERS, "load"}
    assert len(errors["load"].values) == 4  # two interior points of each of two curves
    assert len(errors["sibling"].values) > 0


def test_the_shipped_efficiencies_belong_to_the_shipped_profiles() -> None:
    """As many anchors as closed-loop points, and estimates at them close to the measurements: else fit again."""
    known = load_catalogs()
    fitted, measured = known.efficiencies[0], measured_points(known.profiles)
    assert len(fitted.anchors.position) == len(measured)
    found = Roofline(known).predict(measured.points)
    has_tpot = np.isfinite(measured.tpot_ms)
    errors = np.abs(found.tpot_ms / measured.tpot_ms - 1.0)[has_tpot]
    assert np.median(errors) < 0.05
    assert {band.transfer for band in fitted.bands} == {*TRANSFERS, "load", "full load"}


def test_the_command_writes_a_catalog_that_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from optimizer.performance import fit as module

    known = catalogs(measured_like_the_model(2.0))
    monkeypatch.setattr(module, "load_catalogs", lambda folder: known)
    module.main(["-o", str(tmp_path / "efficiencies.json")])
    written = json.loads((tmp_path / "efficiencies.json").read_text())
    assert Efficiencies.model_validate_json(json.dumps(written[0])) == fit(known)
    assert MODEL.name in {p.model for p in known.profiles}


def test_the_shipped_bands_widen_with_the_distance_carried() -> None:
    """Between two points of a curve, another shape, another layout, another card of the family, a network never measured."""
    roofline = Roofline(load_catalogs())
    bands = [roofline.band(name, None) for name in ("load", "shape", "layout", "sibling", "network")]
    widths = [high - low for low, high in bands]
    assert widths == sorted(widths)
    assert all(low < 1.0 < high for low, high in bands)
    assert roofline.band("sibling", "an engine never seen") == roofline.band("sibling", None)


def test_an_engine_without_errors_of_a_transfer_takes_the_band_of_all() -> None:
    """Engine f was measured on one card only: nothing tells how it carries to a sibling."""
    on_two_cards = [*measured_like_the_model(2.0), *measured_like_the_model(2.5, accelerator="fast")]
    roofline = Roofline(with_fit(catalogs([*on_two_cards, *measured_like_the_model(3.0, engine="f")])))
    assert roofline.band("sibling", "f") == roofline.band("sibling", None)
    assert roofline.band("sibling", "e") != roofline.band("shape", "e")


def test_an_engine_with_scattered_points_has_the_wider_band() -> None:
    """Engine f is off by a factor of two up and down from shape to shape, engine e is not; shared points blur it, not undo it."""
    steady = [p for n in range(12) for p in measured_like_the_model(1.0, tokens=(100 + 50 * n, 10 + n))]
    wild = [
        p for n in range(12) for p in measured_like_the_model(2.0 if n % 2 else 0.5, engine="f", tokens=(100 + 50 * n, 10 + n))
    ]
    roofline = Roofline(with_fit(catalogs([*steady, *wild])))
    (low, high), (wild_low, wild_high) = roofline.band("shape", "e"), roofline.band("shape", "f")
    assert wild_low < low
    assert wild_high > high

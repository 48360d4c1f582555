"""Arrivals: rates and bursts as stated, traces read or refused."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.errors import UsageError
from optimizer.simulate.arrivals import Bursty, Poisson, Renewal, Trace, arrivals_of, load_trace
from tests.optimizer.files import refusals


@pytest.mark.parametrize("arrivals", [Poisson(), Bursty(1.5, 5.0), Trace("made up", np.tile([0.1, 0.3], 1000))])
@pytest.mark.parametrize("per_s", [0.5, 40.0])
def test_times_ascend_at_the_rate_asked_for(arrivals, per_s):
    times = arrivals.times(np.random.default_rng(1), per_s, 50, 4000)
    assert times.shape == (50, 4000)
    assert (np.diff(times, axis=1) >= 0).all()
    assert 4000 / times[:, -1].mean() == pytest.approx(per_s, rel=0.05)


def test_bursts_hold_their_peak():
    """At 1.5 times 10/s for 100 s on average, then at 0.5 times: seconds of about 15 and of about 5 arrivals, none between."""
    times = Bursty(1.5, 100.0).times(np.random.default_rng(2), 10.0, 20, 20_000)
    counts = np.concatenate([np.bincount((row / 10).astype(int))[:-1] / 10 for row in times])
    assert np.mean((counts > 8.5) & (counts < 11.5)) < 0.2
    assert counts.mean() == pytest.approx(10.0, rel=0.1)


def test_a_trace_keeps_its_rhythm_whatever_the_rate(tmp_path):
    """Ten minutes of 5/s and ten of 15/s; asked for at 1/s and at 100/s, the second half has three times as many."""
    trace = Trace("two halves", np.concatenate([np.full(3000, 0.2), np.full(9000, 1 / 15)]))
    for per_s in (1.0, 100.0):
        times = trace.times(np.random.default_rng(3), per_s, 1, int(1200 * per_s))[0]
        assert np.sum(times > 600) / np.sum(times <= 600) == pytest.approx(3.0, rel=0.15)


def test_a_trace_file_gives_its_gaps(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("time_s,who\n" + "".join(f"{k / 4},x\n" for k in range(1001)))
    trace = arrivals_of(str(path))
    assert trace.gap_s.tolist() == [0.25] * 1001
    assert trace.label == "trace trace.csv, 1001 arrivals"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["1", "2", "1.5", *map(str, range(3, 1100))], "line 4: found 1.5 after 2, expected ascending times"),
        (["1", "", "nan", "3", *map(str, range(4, 1100))], "line 3: found '', expected seconds"),
        ([*map(str, range(600)), *map(str, range(900, 1500))], "no arrival from 599 to 900 s, 20% of the trace"),
        ([*map(str, range(10))], "found 10 arrivals, expected at least 1000"),
        (["1"] * 1000, "all arrivals at one moment"),
    ],
)
def test_a_trace_that_cannot_be_used_is_refused_with_its_place(tmp_path, lines, found):
    path = tmp_path / "trace.csv"
    path.write_text("\n".join(["time_s", *lines]) + "\n")
    assert found in "\n".join(map(str, refusals(lambda: load_trace(path))))


@pytest.mark.parametrize("content", [b"", b"when\n1\n", b"time_s\n\xff\n", b'time_s\n"1\n'])
def test_what_is_no_trace_is_refused(tmp_path, content):
    path = tmp_path / "trace.csv"
    path.write_bytes(content)
    refusals(lambda: load_trace(path))
    refusals(lambda: load_trace(tmp_path / "missing.csv"))


@pytest.mark.parametrize("text", ["bursty:1", "bursty:3:10", "bursty:1.2:0", "bursty:a:b", "bursty:1.2:3:4", "bursty:nan:3"])
def test_a_burst_without_meaning_is_refused(text):
    with pytest.raises(UsageError, match="bursty"):
        arrivals_of(text)


def test_bursts_are_read_from_words():
    assert arrivals_of("poisson") == Poisson()
    assert arrivals_of("bursty") == Bursty()
    assert arrivals_of("bursty:1.5:60") == Bursty(1.5, 60.0)


@pytest.mark.parametrize("variation", [1.5, 4.0, 16.0])
def test_stated_arrivals_have_their_rate_and_variability(variation: float) -> None:
    """Over 4 million gaps; the sampling error of the variability at 16 is below 3 %."""
    times = Renewal(variation).times(np.random.default_rng(1), 5.0, 400, 10_000)
    gaps = np.diff(times, axis=1)
    assert gaps.mean() == pytest.approx(0.2, rel=0.02)
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(variation, rel=0.03)

"""Scales that are taken from simulations: what they are of known distributions, and what is said of bad ones."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from genbayes import distances as gbd
from genbayes.distances.spread import OutputSpread, scale_near

N = 20_000
RNG = np.random.default_rng(0)
# Median absolute deviations in closed form; of n values they are known to 1 / (2 f sqrt(n)) or so, where f, the density
# of |x - median| at its median, is 0.4 or more here: 1 % of the deviation is three standard errors.
KNOWN = {
    "normal": (stats.norm(3.0, 2.0), 2.0 * stats.norm.ppf(0.75)),
    "uniform": (stats.uniform(-1.0, 4.0), 1.0),
    "laplace": (stats.laplace(5.0, 0.5), 0.5 * np.log(2)),
    # P(|x - log 2| < m) = exp(-log 2) (e^m - e^-m) = 1 / 2, so sinh(m) = 1 / 2.
    "exponential": (stats.expon(), np.arcsinh(0.5)),
    "Cauchy": (stats.cauchy(0.0, 3.0), 3.0),
}


def one_column(values: Any) -> np.ndarray:
    return np.asarray(values)[:, None]


def test_the_median_scale_is_the_median_absolute_deviation() -> None:
    x = np.stack([law.rvs(N, random_state=i) for i, (law, _) in enumerate(KNOWN.values())], axis=1)
    found = gbd.MeanAbsoluteError("median").fitted(x)
    expected = 1.4826 * np.array([deviation for _, deviation in KNOWN.values()])
    np.testing.assert_allclose(np.asarray(found.scale), expected, rtol=0.03)
    # Mutant: the standard deviation, which only the normal distribution has in common with it.
    other = np.asarray(gbd.MeanAbsoluteError("prior_predictive").fitted(x).scale)
    np.testing.assert_allclose(other[0], 2.0, rtol=0.02)
    assert np.all(np.abs(other[1:] / expected[1:] - 1) > 0.1)


def test_a_few_runs_do_not_move_the_median_scale() -> None:
    x = one_column(RNG.normal(size=1000))
    spoiled = x.copy()
    spoiled[:10] = 1e9
    scales = [float(np.asarray(gbd.HuberError(1.0, "median").fitted(part).scale)[0]) for part in (x, spoiled)]
    # One rank in a hundred moves a quantile by 0.01 / (2 * 0.32), 1.6 % of the deviation.
    assert abs(scales[1] / scales[0] - 1) < 0.03
    assert np.asarray(gbd.HuberError(1.0, "prior_predictive").fitted(spoiled).scale)[0] > 1e7


def test_a_coordinate_with_one_value_in_most_runs_has_no_median_scale() -> None:
    x = np.stack([RNG.normal(size=300), RNG.poisson(0.3, 300), np.full(300, 0.1)], axis=1)
    with pytest.raises(ValueError, match=r"'median' is not defined for the output coordinates 1, 2: half.*weight 0"):
        gbd.MeanSquaredError("median").fitted(x)
    with pytest.raises(ValueError, match=r"'prior_predictive' is not defined for the output coordinate 2: they do not"):
        gbd.MeanSquaredError("prior_predictive").fitted(x)
    fitted = gbd.MeanSquaredError("median", weights=[1.0, 0.0, 0.0]).fitted(x)
    np.testing.assert_array_equal(np.asarray(fitted.scale)[1:], 1.0)
    images = np.zeros((50, 4, 5))
    with pytest.raises(ValueError, match=r"coordinates \(0, 0\), \(0, 1\).*, \.\.\. \(20 of 20\): half"):
        gbd.MeanSquaredError("median").fitted(images)


def test_the_scale_near_an_observation_of_a_uniform_output() -> None:
    """The nearest 5 % of 20,000 uniform numbers fill a window of width 0.05, or 0.05 from an end on."""
    x = one_column(RNG.uniform(size=N))
    for x_o, width in [(0.5, 0.05), (0.01, 0.05), (-3.0, 0.05)]:
        scale = float(np.asarray(gbd.MeanSquaredError("observation").fitted(x, np.array([x_o])).scale)[0])
        # The deviation of 1,000 numbers is known to 1 / (2 f sqrt(n)), 1.6 % of the width or 6 % of the deviation.
        assert scale == pytest.approx(1.4826 * width / 4, rel=0.2)
    # Mutant: over all simulations it is 20 times as large.
    assert np.asarray(gbd.MeanSquaredError("median").fitted(x).scale)[0] > 10 * scale


def test_the_simulations_near_an_observation_are_those_of_least_mean_rank() -> None:
    x = np.stack([RNG.normal(size=400), RNG.lognormal(0.0, 3.0, 400), RNG.poisson(2.0, 400), np.ones(400)], axis=1)
    x_o, used = np.array([0.5, 2.0, 3.0, 1.0]), np.array([True, True, False, False])
    away = np.abs(x - x_o)
    # Ranks as counts of simulations that are nearer, for coordinates that count.
    ranks = sum((away[:, j][None] < away[:, j][:, None]).sum(1) for j in (0, 1))
    near = x[np.argsort(ranks, kind="stable")[:50]]
    expected = 1.4826 * np.median(np.abs(near - np.median(near, axis=0)), axis=0)
    found = scale_near(x, x_o, used)
    np.testing.assert_allclose(found[:2], expected[:2], rtol=1e-6)
    np.testing.assert_array_equal(scale_near(x, x_o, used), found)
    # Neither units nor a left-out coordinate matter.
    units = np.array([1.0, 1e9, 1.0, 1.0])
    np.testing.assert_allclose(scale_near(x * units, x_o * units, used)[:2], found[:2] * units[:2], rtol=1e-5)
    np.testing.assert_array_equal(scale_near(x, x_o + [0, 0, 50, 0], used)[:2], found[:2])
    with pytest.raises(ValueError, match=r"scale='observation' is not defined for the output coordinate 3: half of"):
        scale_near(x, x_o, np.array([True, True, False, True]))


def test_what_the_scale_near_an_observation_takes() -> None:
    distance, x = gbd.MeanSquaredError("observation"), RNG.normal(size=(300, 2))
    with pytest.raises(ValueError, match="takes the observation: fit_cost"):
        distance.fitted(x)
    with pytest.raises(
        ValueError, match=r"shape \(5, 2\), but scale='observation' takes one observation of shape \(2,"
    ):
        distance.fitted(x, np.zeros((5, 2)))
    with pytest.raises(ValueError, match="without gaps"):
        distance.fitted(x, np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match=r"NaN or infinite values in 1 of 300 rows, the first is row 4.*\.ok"):
        gbd.HuberError(1.0, "median").fitted(np.where(np.arange(300)[:, None] == 4, np.nan, x))
    with pytest.raises(ValueError, match="as a part of 100 or more of the prior, got 99"):
        distance.fitted(x[:99], np.zeros(2))


# Of 2,000 runs; whether a few of them set the standard deviation.
OUTPUTS = {
    "normal": (stats.norm(), False),
    "uniform": (stats.uniform(), False),
    "exponential": (stats.expon(), False),
    "Poisson": (stats.poisson(0.2), False),
    "log-normal(0, 1)": (stats.lognorm(1.0), False),
    "log-normal(0, 2)": (stats.lognorm(2.0), True),
    "Cauchy": (stats.cauchy(), True),
    "a rare event": (stats.bernoulli(0.005), True),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_scale_that_a_few_runs_set_is_told(name: str) -> None:
    law, told = OUTPUTS[name]
    x = np.stack([RNG.normal(size=2000), law.rvs(2000, random_state=1)], axis=1)
    outcome = OutputSpread.of(x).few_runs(np.ones(2, bool))
    assert outcome.ok != told
    if told:
        assert "scale of the output coordinate 1 is set by a few runs" in str(outcome)
        assert "'median'" in str(outcome)
    # What the distance does not look at is not told.
    assert OutputSpread.of(x).few_runs(np.array([True, False])).ok


def test_false_alarms_are_rare_and_alarms_are_sure() -> None:
    """The factor by which the hundredth part farthest out changes a standard deviation, over 100 sets of 1,000 runs."""
    alarms = {}
    for name, law in [("exponential", stats.expon()), ("log-normal", stats.lognorm(1.0)), ("wide", stats.lognorm(2.0))]:
        spread = OutputSpread.of(law.rvs((1000, 100), random_state=3))
        alarms[name] = np.sum(spread.deviation > 2 * spread.without_few)
    assert alarms["exponential"] == 0
    assert alarms["log-normal"] <= 3
    assert alarms["wide"] >= 75


def test_a_scale_that_dwarfs_an_observation_is_told_where_it_does() -> None:
    x = np.stack([RNG.normal(size=2000), np.exp(2 * RNG.normal(size=2000)), 10 ** RNG.uniform(0, 6, 2000)], axis=1)
    spread, used = OutputSpread.of(x), np.ones(3, bool)
    outcome = spread.dwarfs(np.array([0.0, 1.0, 2e5]), used)
    assert "scale of the output coordinate 1 dwarfs the observation" in str(outcome)
    assert spread.dwarfs(np.array([0.0, 1.0, 2e5]), np.array([True, False, True])).ok
    # Far out in the tail the scale is that of the observation.
    assert spread.dwarfs(np.array([-5.0, 60.0, 2e5]), used).ok
    assert "output coordinate 2 dwarfs" in str(spread.dwarfs(np.array([0.0, 60.0, 20.0]), used))
    # A coordinate with one value in most runs is not judged.
    rare = OutputSpread.of(one_column(stats.poisson(0.2).rvs(2000, random_state=0) * 1.0))
    assert rare.dwarfs(np.zeros(1), np.ones(1, bool)).ok

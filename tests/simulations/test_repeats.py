"""Simulators that draw random numbers from elsewhere than `rng` are told; others are not, whoever runs them."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import genbayes as gb

PRIOR = gb.Prior.uniform([-1.0], [1.0])


def honest(theta, rng):
    return theta + rng.standard_normal(2)


def deterministic(theta, rng):
    return np.array([theta[0], theta[0] ** 2])


def with_global_state(theta, rng):
    return theta + np.random.normal(size=2)


def that_seeds_itself(theta, rng):
    np.random.seed(0)
    return theta + np.random.normal(size=2)


def that_sometimes_fails(theta, rng):
    return theta + rng.standard_normal(2) if rng.random() < 0.5 else np.full(2, np.nan)


@pytest.mark.parametrize("workers", [1, 2, "threads"])
def test_foreign_random_numbers_are_told(workers: int | str) -> None:
    with pytest.warns(UserWarning, match="gave two outputs: the simulator draws random numbers from elsewhere"):
        made = simulated(with_global_state, workers)
    assert len(made) == 200
    assert made.ok.all()
    with pytest.warns(UserWarning, match="gave the same output, although .* every run has the same noise"):
        simulated(that_seeds_itself, workers)


@pytest.mark.parametrize("simulator", [honest, deterministic, that_sometimes_fails])
@pytest.mark.parametrize("workers", [1, "threads"])
def test_others_are_not_told_and_rows_stay_what_they_are(simulator, workers: int | str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = simulated(simulator, workers)
        # Fewer rows are not run again; each depends on seed and row alone.
        few = gb.simulate(simulator, PRIOR, 50, seed=0, progress=False)
    np.testing.assert_array_equal(made.x[:50], few.x)


def test_a_row_is_run_twice_more_and_no_other() -> None:
    seen: list[float] = []

    def counted(theta, rng):
        seen.append(float(theta[0]))
        return honest(theta, rng)

    gb.simulate(counted, PRIOR, 199, seed=0, progress=False)
    assert len(seen) == 199
    seen.clear()
    gb.simulate(counted, PRIOR, 200, seed=0, progress=False)
    assert len(seen) == 202
    assert seen[0] == seen[1] == seen[2]


def simulated(simulator, workers: int | str) -> gb.Simulations:
    if workers == "threads":
        with ThreadPoolExecutor(2) as pool:
            return gb.simulate(simulator, PRIOR, 200, seed=0, workers=pool, progress=False)
    return gb.simulate(simulator, PRIOR, 200, seed=0, workers=int(workers), progress=False)


def test_the_shape_of_an_output_is_told_after_the_first_run() -> None:
    runs: list[int] = []

    def counted(theta, rng):
        runs.append(1)
        return honest(theta, rng)

    def refuse(shape: tuple[int, ...]) -> None:
        raise ValueError(f"x_o has shape (3,), outputs have {shape}")

    with pytest.raises(ValueError, match=r"x_o has shape \(3,\), outputs have \(2,\)"):
        gb.simulate(counted, PRIOR, 5000, seed=0, progress=False, batch_size=1, on_shape=refuse)
    assert len(runs) <= 3

"""Small matrices are factored on one thread."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import genbayes as gb
from genbayes.learning import process_means
from genbayes.runtime.linear_algebra import on_one_thread


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.fixture
def two_threads():
    """As many as a user's machine has; tests have one."""
    with threadpool_limits(2, user_api="blas"):
        yield


@pytest.mark.usefixtures("two_threads")
def test_inside_there_is_one_and_afterwards_as_many_as_before() -> None:
    assert blas_threads() == {2}
    assert on_one_thread(blas_threads)() == {1}
    with pytest.raises(ZeroDivisionError):
        on_one_thread(lambda: 1 / 0)()
    assert blas_threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_gaussian_processes_are_fitted_on_one(monkeypatch) -> None:
    seen = []
    fit = process_means.fit_kernel
    monkeypatch.setattr(process_means, "fit_kernel", lambda *given: seen.append(blas_threads()) or fit(*given))
    prior = gb.Prior.uniform([0.0, 0.0], [1.0, 1.0], ["a", "b"])
    # Polynomials do not follow so many turns.
    simulations = gb.simulate(lambda theta, rng: np.sin(9 * theta).prod(keepdims=True), prior, 100, seed=0)
    gb.fit_cost(simulations, gb.distances.MeanSquaredError(), progress=False)
    assert seen
    assert set().union(*seen) == {1}

"""Laws that hold for every registered task, and wrong tasks that break each of them."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import genbayes as gb
from genbayes.tasks import BENCHMARK, TASKS, Task
from genbayes.tasks import registry as task_registry

# Of the exact cost, at each of three parameters: errors of a few per cent of the noise show.
RUNS = 5_000
DRAWS = 2000
# Normal variables that are judged here stay below 5 but once in a million and a half.
MOST = 5.0


def broken_laws(task: Task) -> list[str]:
    """What is not so of a task, one word each; empty for a good one."""
    theta = np.asarray(task.prior.sample(64, seed=7))
    x = outputs(task, theta)
    broken = {
        "simulator": x.dtype != np.float32 or np.isfinite(x).reshape(64, -1).all(axis=1).mean() < 0.8,
        "seed": not np.array_equal(x, outputs(task, theta), equal_nan=True) or np.all(x == outputs(task, theta, 1)),
        "betas": any(beta <= 0 for beta in task.betas) or list(task.betas) != sorted(set(task.betas)),
        "observation": task.x_o is not None and (task.x_o.shape != x.shape[1:] or not np.all(np.isfinite(task.x_o))),
    }
    x = x[np.isfinite(x).reshape(64, -1).all(axis=1)]
    distance = task.distance.fitted(x)
    first, second = jnp.asarray(x[0]), jnp.asarray(x[1])
    between, itself = float(distance(first, second)), float(distance(first, first))
    broken["distance"] = not (between > 0 and abs(itself) < 1e-5 * between)
    if task.cost is not None:
        broken["cost"] = wrong_cost(task, theta[:3], x[0])
    if task.reference is not None:
        broken["reference"] = wrong_reference(task, x[0])
    if task.misspecified is not None:
        made = task.misspecified(theta[: len(x)], x, 3)
        broken["misspecified"] = made.shape != x.shape or not np.all(np.isfinite(made)) or np.array_equal(made, x)
    return [law for law, wrong in broken.items() if wrong]


def outputs(task: Task, theta: np.ndarray, seed: int = 0) -> np.ndarray:
    keys = jax.random.split(jax.random.key(seed), len(theta))
    return np.asarray(jax.jit(jax.vmap(task.simulator))(keys, jnp.asarray(theta)))


def wrong_cost(task: Task, theta: np.ndarray, x_o: np.ndarray) -> bool:
    """Names, shape or units differ from the task's, or the cost from the mean distance of new runs."""
    assert task.cost is not None
    distance, target = task.distance, jnp.asarray(x_o)
    if task.cost.names != task.prior.names or task.cost.x_shape != x_o.shape:
        return True
    if task.cost.distance.units != distance.units:
        return True
    runs = outputs(task, np.repeat(theta, RUNS, axis=0), 2)
    distances = np.asarray(jax.vmap(lambda x: distance(x, target))(jnp.asarray(runs)), np.float64).reshape(
        len(theta), -1
    )
    error = np.std(distances, axis=1) / np.sqrt(RUNS) + 1e-5 * distances.mean(axis=1)
    return bool(np.any(np.abs(np.asarray(task.cost(theta, x_o)) - distances.mean(axis=1)) > MOST * error))


def wrong_reference(task: Task, x_o: np.ndarray) -> bool:
    """Draws of another shape, outside the prior, or with another mean cost than weighted draws of the prior have."""
    assert task.reference is not None
    assert task.cost is not None
    beta = task.betas[0]
    draws = np.asarray(task.reference(x_o, beta, DRAWS, 5))
    if draws.shape != (DRAWS, task.prior.dim) or not np.all(np.isfinite(task.prior.log_density(draws))):
        return True
    if not np.array_equal(draws, task.reference(x_o, beta, DRAWS, 5)):
        return True
    prior = np.asarray(task.prior.sample(10_000, seed=6))
    cost = np.asarray(task.cost(prior, x_o), np.float64)
    weights = np.exp(-beta * (cost - cost.min()))
    weights /= weights.sum()
    mean = weights @ cost
    own = np.asarray(task.cost(draws, x_o), np.float64)
    # Standard errors of the weighted mean (delta method) and of the independent draws.
    error = np.hypot(np.sqrt(np.sum((weights * (cost - mean)) ** 2)), own.std() / np.sqrt(DRAWS))
    return bool(abs(own.mean() - mean) > MOST * error)


# Tasks that integrate differential equations, or take more than ten seconds for another reason.
SLOW = {"lotka_volterra", "lynx_hare", "sir"}
LONG = {"sir"}
MARKS = {name: [pytest.mark.slow] * (name in SLOW) + [pytest.mark.long] * (name in LONG) for name in TASKS}


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS[name]) for name in sorted(TASKS)])
def test_every_task_keeps_the_laws(name: str) -> None:
    task = TASKS[name]()
    assert task.name == name
    assert getattr(gb.tasks, name) is TASKS[name]
    assert TASKS[name].__doc__
    assert broken_laws(task) == []


def test_the_benchmark_names_its_tasks() -> None:
    # Others follow these.
    first = ["uniform_1d", "two_moons", "linear_gaussian", "gaussian_mixture", "lotka_volterra", "sir"]
    assert list(BENCHMARK)[: len(first)] == first
    assert "lynx_hare" in set(TASKS) - set(BENCHMARK)
    assert all(make().betas for make in BENCHMARK.values())


def nudged(cost: gb.Cost) -> gb.Cost:
    return gb.Cost.exact(lambda t, x: cost(t, x) + 0.05, names=cost.names, x_shape=(2,), units=cost.distance.units)


def hotter(task: Task) -> Task:
    exact = task.reference
    assert exact is not None
    return replace(task, reference=lambda x_o, beta, n, seed: exact(x_o, 1.5 * beta, n, seed))


@pytest.mark.parametrize(
    ("law", "spoiled"),
    [
        ("simulator", lambda task: replace(task, simulator=lambda key, theta: jnp.where(theta > 0, theta, jnp.nan))),
        ("seed", lambda task: replace(task, simulator=lambda key, theta: theta)),
        ("betas", lambda task: replace(task, betas=(10.0, 1.0))),
        ("observation", lambda task: replace(task, x_o=np.zeros(3, np.float32))),
        ("distance", lambda task: replace(task, distance=gb.distances.UserDistance(shifted, name="s", units="1"))),
        ("cost", lambda task: replace(task, cost=nudged(task.cost))),
        ("cost", lambda task: replace(task, distance=gb.distances.MeanSquaredError(2.0))),
        ("reference", hotter),
        ("misspecified", lambda task: replace(task, misspecified=lambda theta, x, seed: x)),
    ],
)
def test_a_task_that_breaks_a_law_shows(law: str, spoiled: Callable[[Task], Task]) -> None:
    assert law in broken_laws(spoiled(gb.tasks.two_moons()))


def shifted(x: jax.Array, x_target: jax.Array) -> jax.Array:
    return 1.0 + jnp.mean((x - x_target) ** 2)


def test_a_task_of_a_script_is_one_of_the_benchmark(monkeypatch) -> None:
    monkeypatch.setattr(task_registry, "TASKS", dict(TASKS))
    monkeypatch.setattr(task_registry, "BENCHMARK", dict(BENCHMARK))

    @gb.tasks.register(benchmark=True)
    def pendulum() -> Task:
        return gb.tasks.two_moons()

    assert list(task_registry.BENCHMARK) == [*BENCHMARK, "pendulum"]
    assert task_registry.TASKS["pendulum"] is pendulum

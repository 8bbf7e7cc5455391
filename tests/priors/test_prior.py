import json
import os
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from genbayes.priors.parameter import Parameter
from genbayes.priors.prior import Prior

EPS = float(np.finfo(np.float32).eps)

FAMILIES = {
    "Uniform": lambda: dist.Uniform(-1.0, 3.0),
    "far Uniform": lambda: dist.Uniform(1000.1, 1000.7),
    "Normal": lambda: dist.Normal(1.0, 2.0),
    "LogNormal": lambda: dist.LogNormal(0.5, 0.3),
    "Gamma": lambda: dist.Gamma(2.0, 3.0),
    "Beta": lambda: dist.Beta(2.0, 3.0),
    "HalfNormal": lambda: dist.HalfNormal(2.0),
    "Exponential": lambda: dist.Exponential(0.5),
    "TruncatedNormal": lambda: dist.TruncatedNormal(0.0, 1.0, low=-1.0, high=2.0),
    "LeftTruncated": lambda: dist.TruncatedNormal(0.0, 1.0, low=-1.0),
    "StudentT": lambda: dist.StudentT(4.0, 1.0, 2.0),
    "MultivariateNormal": lambda: dist.MultivariateNormal(jnp.array([1.0, -1.0]), jnp.array([[2.0, 0.5], [0.5, 1.0]])),
    "LogUniform": lambda: dist.LogUniform(0.01, 10.0),
    "batch Uniform": lambda: dist.Uniform(jnp.zeros(3), jnp.array([1.0, 2.0, 3.0])),
    "Dirichlet": lambda: dist.Dirichlet(jnp.array([1.0, 2.0, 3.0])),
}


# All families in one prior: one compilation instead of fifteen, and each law still looks at every coordinate.
ALL = Prior({name: make() for name, make in FAMILIES.items()})
# One batch size too. The compiled functions are shared by the tests.
THETA = ALL.sample(ALL.dim, seed=1)
EXTREMES = jnp.where(jnp.arange(ALL.dim)[:, None] % 2 == 0, -1.0, 1.0) * jnp.ones((ALL.dim, ALL.unconstrained_dim))
gradient = jax.jit(jax.vmap(jax.grad(ALL.log_density)))
gradient_unconstrained = jax.jit(jax.vmap(jax.grad(ALL.log_density_unconstrained)))
SIZE = np.where(np.isfinite(ALL.bounds), np.abs(ALL.bounds), 0).max(axis=1)


def test_round_trip():
    theta = np.asarray(THETA)
    u = ALL.to_unconstrained(theta)
    assert u.shape == (20, 19)
    # u = log(theta - low) and the like carries an error of a few eps * |u|, which the inverse multiplies by its slope,
    # at most the size of theta plus the size of the bounds; |u| < 20 for these draws.
    tolerance = 8 * EPS * 20 * (np.abs(theta) + SIZE[None, :]) + EPS
    assert (np.abs(ALL.from_unconstrained(u) - theta) <= tolerance).all()
    assert np.std(np.asarray(u), axis=0).min() > 0.1, "not a constant map"


def test_jacobian_against_autodiff():
    u = jax.random.normal(jax.random.key(3), EXTREMES.shape)
    theta = ALL.from_unconstrained(u)
    volume = ALL.log_density_unconstrained(u) - ALL.log_density(theta)
    # The last coordinate of the simplex (the last of all) follows from the others; volume is that of the free ones.
    jacobians = jax.jit(jax.vmap(jax.jacfwd(ALL.from_unconstrained)))(u)[:, : ALL.unconstrained_dim]
    # Two sums of about 20 terms up to 30 in float32, 40 * 30 * eps = 1.4e-4; and theta near 1000 is rounded by 6e-5.
    np.testing.assert_allclose(volume, np.linalg.slogdet(np.asarray(jacobians, np.float64))[1], atol=5e-4)
    assert np.ptp(volume) > 1


def test_each_jacobian_against_autodiff():
    for name in ("Uniform", "LogNormal", "LeftTruncated", "Dirichlet"):
        parameter = Parameter(name, FAMILIES[name]()).density
        u = jnp.linspace(-1.0, 0.5, parameter.unconstrained_dim)
        value = parameter.from_unconstrained(u)
        volume = parameter.log_density_unconstrained(u) - parameter.log_density(value)
        jacobian = jax.jacfwd(parameter.from_unconstrained)(u)[: len(u)]
        assert float(volume) == pytest.approx(np.linalg.slogdet(np.asarray(jacobian))[1], abs=1e-5), name


def test_extreme_unconstrained_values():
    u = 30 * EXTREMES
    theta = ALL.from_unconstrained(u)
    assert jnp.isfinite(theta).all()
    assert ALL.contains(theta).all()
    assert jnp.isfinite(ALL.log_density_unconstrained(u)).all()
    assert jnp.isfinite(gradient_unconstrained(u)).all()
    assert jnp.isfinite(ALL.to_unconstrained(theta)).all()


def test_overflow_is_minus_infinity_not_nan():
    u = 1000 * EXTREMES
    assert (ALL.log_density_unconstrained(u) == -jnp.inf).all()
    assert not jnp.isnan(gradient_unconstrained(u)).any()


def test_edges_of_the_support_map_to_finite_numbers():
    prior = Prior(
        {"a": dist.Uniform(-1.0, 2.0), "b": dist.Exponential(1.0), "c": dist.TruncatedNormal(0.0, 1.0, high=1.0)}
    )
    for theta in ([-1.0, 0.0, 1.0], [2.0, 0.0, 1.0]):
        u = prior.to_unconstrained(np.array(theta))
        assert jnp.isfinite(u).all()
        np.testing.assert_allclose(prior.from_unconstrained(u), theta, atol=1e-6)


@pytest.mark.parametrize("side", [0, 1])
def test_density_inside_and_outside(side):
    theta = THETA
    assert ALL.contains(theta).all()
    assert jnp.isfinite(ALL.log_density(theta)).all()
    assert jnp.isfinite(gradient(theta)).all()
    # Row i has coordinate i far out on one side.
    moved = jnp.where(jnp.eye(ALL.dim, dtype=bool), [-5000.0, 5000.0][side], theta)
    limited = np.isfinite(ALL.bounds[:, side])
    np.testing.assert_array_equal(ALL.contains(moved), ~limited)
    np.testing.assert_array_equal(np.isneginf(ALL.log_density(moved)), limited)
    # The gradient must be clean too: samplers take it before they reject.
    assert not jnp.isnan(gradient(moved)).any()
    missing = jnp.where(jnp.eye(ALL.dim, dtype=bool), jnp.nan, theta)
    assert not ALL.contains(missing).any()
    assert (ALL.log_density(missing) == -jnp.inf).all()


def test_log_density_is_the_sum_of_the_closed_forms():
    prior = Prior({"a": dist.Normal(1.0, 2.0), "b": dist.Uniform(0.0, 4.0), "c": dist.Exponential(3.0)})
    theta = np.array([2.0, 1.0, 0.5])
    expected = -0.5 * 0.25 - np.log(2 * np.sqrt(2 * np.pi)) - np.log(4) + np.log(3) - 1.5
    assert float(prior.log_density(theta)) == pytest.approx(expected, rel=1e-6)
    batch = prior.log_density(np.broadcast_to(theta, (2, 3, 3)))
    assert batch.shape == (2, 3)
    np.testing.assert_allclose(batch, expected, rtol=1e-6)


def test_names_bounds_and_description():
    prior = Prior(
        {"rate": dist.Gamma(2.0, 3.0), "mu": dist.Uniform(jnp.zeros(2), jnp.ones(2)), "p": FAMILIES["Dirichlet"]()}
    )
    assert prior.names == ("rate", "mu[0]", "mu[1]", "p[0]", "p[1]", "p[2]")
    assert (prior.dim, prior.unconstrained_dim) == (6, 5)
    np.testing.assert_array_equal(prior.bounds, [[0, np.inf], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]])
    description = prior.describe()
    assert description[0] == {"name": "rate", "distribution": "Gamma", "settings": {"concentration": 2.0, "rate": 3.0}}
    assert json.loads(json.dumps(description, allow_nan=False)) == description


def test_equality_and_hash_by_value():
    again = pickle.loads(pickle.dumps(ALL))
    assert again == ALL
    assert hash(again) == hash(ALL)
    assert Prior({name: make() for name, make in FAMILIES.items()}) == ALL
    assert Prior({"a": dist.Normal(0.0, 1.0)}) != Prior({"a": dist.Normal(0.0, 1.1)})


def test_mixtures_differ_by_their_components():
    def mixture(scale):
        return dist.MixtureSameFamily(dist.Categorical(jnp.ones(2) / 2), dist.Normal(jnp.array([0.0, 1.0]), scale))

    assert Prior({"a": mixture(1.0)}) == Prior({"a": mixture(1.0)})
    assert Prior({"a": mixture(1.0)}) != Prior({"a": mixture(2.0)})


def test_prior_is_a_static_argument_without_retracing():
    traces = []

    def density(prior, theta):
        traces.append(1)
        return prior.log_density(theta)

    compiled = jax.jit(density, static_argnums=0)
    for _ in range(2):
        compiled(Prior.uniform([0, 0], 1), jnp.array([0.5, 0.5]))
    assert len(traces) == 1


def test_sample_rows_depend_on_seed_and_row_alone():
    np.testing.assert_array_equal(ALL.sample(17, seed=1), THETA[:17])
    assert (ALL.sample(ALL.dim, seed=2) != THETA).mean() > 0.99
    prior = Prior({"a": dist.Normal(0.0, 1.0), "b": dist.Exponential(1.0), "c": dist.Uniform(-1.0, 3.0)})
    # More rows than one program draws.
    theta = np.asarray(prior.sample(5000, seed=5))
    for n in (0, 1, 7, 40, 999, 4096, 4097):
        np.testing.assert_array_equal(prior.sample(n, seed=5), theta[:n])
    # Of 5000 single-precision normals next to none are equal.
    assert len(np.unique(theta[:, 0])) > 4990
    for row in (3, 4500):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(5), row), 0)
        # Compiled alone, a formula may round differently.
        np.testing.assert_allclose(prior.sample_one(key), theta[row], rtol=1e-5)


def test_sample_moments_and_independence():
    theta = np.asarray(Prior({"a": dist.Normal(1.0, 2.0), "b": dist.Exponential(0.5)}).sample(4000, seed=0))
    # Standard error of both means is 2 / sqrt(4000) = 0.032; five of them (false alarm 6e-7 per mean).
    np.testing.assert_allclose(theta.mean(axis=0), [1.0, 2.0], atol=0.16)
    assert abs(np.corrcoef(theta.T)[0, 1]) < 5 / np.sqrt(4000)


@pytest.mark.parametrize(
    ("distributions", "error", "message"),
    [
        ({}, ValueError, "empty"),
        ([dist.Normal()], TypeError, "distributions"),
        ({"a": 3.0}, TypeError, "'a' must be a numpyro distribution, got builtins.float"),
        ({"k": dist.Poisson(2.0)}, ValueError, "Poisson over infinitely many whole numbers; .* DiscreteUniform"),
        ({"a": dist.LKJ(3, 1.0)}, ValueError, r"values of shape \(3, 3\)"),
        ({"a": dist.Normal(jnp.zeros((2, 3)), 1.0)}, ValueError, r"values of shape \(2, 3\)"),
        ({"a": dist.Delta(1.0)}, ValueError, "fixed"),
        ({"": dist.Normal()}, ValueError, "unusable"),
        ({"a\n": dist.Normal()}, ValueError, "unusable"),
        ({"a[0]": dist.Normal()}, ValueError, "unusable"),
        ({"draw": dist.Normal()}, ValueError, "axes of the draws"),
        ({"b": dist.Uniform(1.0, 0.1)}, ValueError, "no room between its limits"),
        ({"a/b": dist.Normal()}, ValueError, "a slash separates groups"),
        ({1: dist.Normal()}, TypeError, "name must be a string"),
    ],
)
def test_refused_priors(distributions, error, message):
    with pytest.raises(error, match=message):
        Prior(distributions)


def test_wrong_last_axis_names_shape_and_parameters():
    prior = Prior.uniform([0, 0], 1, names=["rate", "delay"])
    with pytest.raises(ValueError, match=r"`theta` has shape \(4, 3\); expected \(\.\.\., 2\), that is: rate, delay"):
        prior.log_density(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"`u` has shape \(\)"):
        prior.from_unconstrained(jnp.zeros(()))
    with pytest.raises(ValueError, match="`seed` must lie in"):
        prior.sample(3, seed=-1)


def test_uniform():
    prior = Prior.uniform([0, -1], [1, 1])
    assert prior.names == ("theta_0", "theta_1")
    np.testing.assert_array_equal(prior.bounds, [[0, 1], [-1, 1]])
    assert Prior.uniform(0, 1, names=["a", "b"]).dim == 2
    with pytest.raises(ValueError, match="must be below"):
        Prior.uniform([0, 2], 1)
    with pytest.raises(ValueError, match="one length"):
        Prior.uniform([0, 0, 0], [1, 1])
    with pytest.raises(ValueError, match="`names` must have one entry per parameter: got 1"):
        Prior.uniform([0, 0], 1, names=["a"])


def test_from_torch_agrees_with_torch():
    torch = pytest.importorskip("torch")
    t = torch.distributions
    covariance = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    items = [
        t.Uniform(-1.0, 2.0), t.Normal(1.0, 2.0), t.LogNormal(0.1, 0.5), t.Gamma(2.0, 3.0), t.Beta(2.0, 5.0),
        t.Exponential(1.5), t.HalfNormal(2.0), t.Laplace(0.0, 2.0), t.StudentT(4.0, 1.0, 2.0), t.Cauchy(0.0, 1.0),
        t.MultivariateNormal(torch.zeros(2), covariance), t.Independent(t.Normal(torch.zeros(2), torch.ones(2)), 1),
    ]  # fmt: skip
    joint = Prior.from_torch(items)
    theta = np.asarray(joint.sample(20, seed=0))
    expected, column = np.zeros(20), 0
    for item in items:
        size = item.event_shape.numel()
        values = torch.tensor(theta[:, column : column + size])
        expected += item.log_prob(values if item.event_shape else values[:, 0]).numpy()
        column += size
    np.testing.assert_allclose(joint.log_density(theta), expected, rtol=1e-5, atol=1e-4)
    assert joint.dim == 14
    assert joint.names[-3:] == ("theta_10[1]", "theta_11", "theta_12")
    assert Prior.from_torch(items[0], names=["rate"]).names == ("rate",)


def test_from_torch_reads_sbi_priors_by_class_name():
    torch = pytest.importorskip("torch")
    t = torch.distributions

    class BoxUniform(t.Independent):
        def __init__(self, low, high):
            super().__init__(t.Uniform(low, high), 1)

    class MultipleIndependent(t.Distribution):
        def __init__(self, dists):
            super().__init__(validate_args=False)
            self.dists = dists

    box = BoxUniform(torch.tensor([0.0, -1.0]), torch.tensor([1.0, 3.0]))
    assert Prior.from_torch(box) == Prior.uniform([0, -1], [1, 3])
    joint = Prior.from_torch(MultipleIndependent([box, t.Gamma(torch.tensor([2.0]), torch.tensor([3.0]))]))
    np.testing.assert_array_equal(joint.bounds, [[0, 1], [-1, 3], [0, np.inf]])
    with pytest.raises(TypeError, match="contains torch.distributions.gumbel.Gumbel, which has no conversion. Write"):
        Prior.from_torch([box, t.Gumbel(0.0, 1.0)])
    with pytest.raises(TypeError, match="must be a torch or sbi distribution"):
        Prior.from_torch(3.0)
    with pytest.raises(ValueError, match="`names` must have one entry per parameter: got 1"):
        Prior.from_torch(box, names=["a"])


def test_from_torch_refuses_a_subclass_with_another_density():
    torch = pytest.importorskip("torch")

    class Doubled(torch.distributions.Normal):
        """Twice a normal variable, which its parent's name and parameters do not tell."""

        def sample(self, sample_shape=()):
            return 2 * super().sample(sample_shape)

        def log_prob(self, value):
            return super().log_prob(value / 2) - float(np.log(2))

    class Named(torch.distributions.Normal):
        """A subclass that changes nothing is what its parent is."""

    state = torch.get_rng_state()
    with pytest.raises(TypeError, match=r"Doubled, whose log density at .* and not .* as that of Normal: a subclass"):
        Prior.from_torch(Doubled(0.0, 1.0))
    with pytest.raises(TypeError, match="Doubled"):
        Prior.from_torch([Named(0.0, 1.0), torch.distributions.Independent(Doubled(torch.zeros(2), torch.ones(2)), 1)])
    assert Prior.from_torch(Named(0.0, 1.0)) == Prior.from_torch(torch.distributions.Normal(0.0, 1.0))
    assert torch.equal(torch.get_rng_state(), state)


def test_importing_genbayes_does_not_import_torch():
    code = "import sys, genbayes, genbayes.priors.prior; sys.exit('torch' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_a_notebook_shows_the_parameters():
    prior = Prior({"rate": dist.Gamma(2.0, 3.0), "w": dist.Dirichlet(np.ones(3)), "t": dist.Uniform(0.0, 5.0)})
    shown = prior._repr_html_()
    assert '<th scope="row">rate</th><td>Gamma</td><td>concentration=2.0, rate=3.0</td><td>[0, inf]</td>' in shown
    assert '<th scope="row">w (3 coordinates)</th><td>Dirichlet</td>' in shown
    assert "<caption>Prior, dim = 5</caption>" in shown
    nested = Prior({"a": dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.ExpTransform())})
    assert "base_dist=Normal(loc=0.0, scale=1.0), transforms=ExpTransform()" in nested._repr_html_()
    assert " object at 0x" not in repr(prior) + repr(prior._parameters[0]) + shown

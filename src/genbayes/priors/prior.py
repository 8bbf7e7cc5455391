"""Prior: named parameters over numpyro distributions, with an exact map to unconstrained coordinates."""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, Int, Key, Num

from ..runtime.compiling import in_full_precision, is_traced, on_device, over_rows
from ..runtime.counts import checked_count
from ..runtime.seeds import PARAMETER_STREAM, check_seed, row_key
from .density import PriorDensity
from .from_scipy import convert_scipy_prior
from .from_table import described_distributions, distributions_of
from .from_torch import convert_torch_prior
from .parameter import AnyParameter, check_name, describe_parameter, make_parameter
from .table import parameter_table

# Draws that one program makes, of which a call takes what it needs.
_ROWS_OF_A_DRAW = 4096


class Prior:
    """A prior over named parameters, each with its own numpyro distribution; immutable, hashable, equal by value.

    Example:
        >>> import numpyro.distributions as dist
        >>> prior = Prior({"rate": dist.Gamma(2.0, 1.0), "delay": dist.Uniform(0.0, 5.0)})
        >>> theta = prior.sample(100, seed=0)  # (100, 2)
    """

    def __init__(self, distributions: Mapping[Any, Any]):
        """Check the distributions and lay out one coordinate per scalar.

        Args:
            distributions: parameter name to distribution with `event_shape` () or (k,). A batch shape (k,) is read as
                k independent coordinates of one parameter. Over whole numbers it needs finitely many of them
                (DiscreteUniform, Categorical, Bernoulli, Binomial); their values are floats such as 3.0 wherever
                parameters are, also in what the simulator receives.

        Raises:
            TypeError: not a mapping, a name that is not a string, or a value that is not a numpyro distribution.
            ValueError: no parameter, an unusable name, a matrix-valued or fixed distribution, infinitely many whole
                numbers, or a support without a bijection to the reals.
        """
        if not isinstance(distributions, Mapping):
            raise TypeError(
                f"`distributions` must be a mapping from name to numpyro distribution, got "
                f"{type(distributions).__name__}. Write Prior({{'rate': dist.Gamma(2.0, 1.0)}})."
            )
        if not distributions:
            raise ValueError("`distributions` is empty; expected at least one parameter, such as dist.Uniform(0, 1).")
        self._parameters = tuple(make_parameter(name, value) for name, value in distributions.items())
        self._names = tuple(name for parameter in self._parameters for name in parameter.names)
        repeated = sorted({name for name in self._names if self._names.count(name) > 1})
        if repeated:
            raise ValueError(f"`distributions` gives two coordinates the same name: {repeated}. Rename a parameter.")
        self.density = PriorDensity.of([parameter.density for parameter in self._parameters])
        # In the programs of samplers the numbers are constants, of which much is computed beforehand: as data they make
        # draws of a cheap cost take 1.6 times as long.
        self._constant: PriorDensity = jax.tree.map(np.asarray, self.density)
        self._bounds = np.concatenate([parameter.bounds for parameter in self._parameters])
        self._bounds.setflags(write=False)
        self._description = json.dumps(
            [describe_parameter(parameter) for parameter in self._parameters], sort_keys=True
        )

    @classmethod
    def uniform(
        cls,
        low: float | int | Sequence | Array | np.ndarray,
        high: float | int | Sequence | Array | np.ndarray,
        names: Sequence[str] | None = None,
    ) -> "Prior":
        """Return independent uniform priors.

        Args:
            low: lower limits, a scalar or (dim,).
            high: upper limits, a scalar or (dim,).
            names: one name per parameter; `theta_0`, `theta_1`, ... if not given.

        Raises:
            ValueError: limits that do not match each other or `names`, or not finite, or low >= high.
        """
        shapes = {np.shape(value) for value in (low, high)} - {()}
        if len(shapes) > 1 or any(len(shape) > 1 for shape in shapes):
            raise ValueError(
                f"`low` and `high` must be scalars or sequences of one length, got shapes {np.shape(low)} and "
                f"{np.shape(high)}."
            )
        length = shapes.pop()[0] if shapes else (1 if names is None else len(_check_names(names)))
        lows, highs = (np.broadcast_to(np.asarray(value, np.float32), (length,)) for value in (low, high))
        if not (np.isfinite(lows).all() and np.isfinite(highs).all() and (lows < highs).all()):
            raise ValueError(
                f"`low` must be below `high`, both finite; got low={lows.tolist()}, high={highs.tolist()}."
            )
        return cls._from_list([dist.Uniform(a, b) for a, b in zip(lows, highs, strict=True)], names)

    @classmethod
    def from_table(cls, table: Mapping[str, Any] | str) -> "Prior":
        """Return a prior by the names of its distributions, as the table [prior] of a problem.toml has them.

        Args:
            table: name of each parameter to its distribution, with the arguments of numpyro; or a TOML text of it.

        Raises:
            TypeError: the table, or an entry, is something else.
            ValueError: a distribution is unknown, or cannot be made of its arguments.

        Example:
            >>> prior = Prior.from_table({"rate": {"distribution": "LogNormal", "loc": 0.0, "scale": 0.5}})
            >>> prior = Prior.from_table('rate = { distribution = "LogNormal", loc = 0.0, scale = 0.5 }')
        """
        return cls(distributions_of(table))

    @classmethod
    def from_description(cls, description: Sequence[Mapping[str, Any]]) -> "Prior":
        """Return the prior that a description is of, such as the one that a store of simulations keeps.

        Args:
            description: from `describe`.

        Raises:
            ValueError: it cannot be made again: a distribution of another package, or one made of others by a
                transformation.

        Example:
            >>> assert Prior.from_description(prior.describe()) == prior
        """
        again = cls(described_distributions(description))
        if again.describe() != list(description):
            raise ValueError("the prior cannot be made again from this description: keep the Prior itself.")
        return again

    @classmethod
    def from_torch(cls, prior: Any, names: Sequence[str] | None = None) -> "Prior":
        """Convert a prior written with `torch.distributions` or the sbi package; torch itself is not imported.

        Args:
            prior: a torch distribution, sbi's `BoxUniform` or `MultipleIndependent`, or a list of distributions.
            names: one name per scalar parameter or vector-valued distribution; `theta_0`, `theta_1`, ... if not given.

        Raises:
            TypeError: a distribution that has no counterpart here.
            ValueError: a number of names that does not match.
        """
        return cls._from_list(convert_torch_prior(prior), names)

    @classmethod
    def from_scipy(cls, prior: Any, names: Sequence[str] | None = None) -> "Prior":
        """Convert frozen distributions of `scipy.stats`, such as `gamma(2.0, scale=3.0)`, or `multivariate_normal`.

        Args:
            prior: a frozen distribution, a list of them, or a mapping from name to one.
            names: as for `from_torch`; those of a mapping are its own.

        Raises:
            TypeError: a distribution that has no counterpart here.
            ValueError: a number of names that does not match.

        Example:
            >>> from scipy import stats
            >>> prior = Prior.from_scipy({"rate": stats.gamma(2.0, scale=3.0), "delay": stats.uniform(0, 5)})
        """
        if isinstance(prior, Mapping):
            if names is not None:
                raise TypeError(
                    "`names` is given, and `prior` is a mapping, which has names of its own. Give one of both."
                )
            names, prior = list(prior), list(prior.values())
        return cls._from_list(convert_scipy_prior(prior), names)

    @classmethod
    def _from_list(cls, distributions: Sequence[dist.Distribution], names: Sequence[str] | None) -> "Prior":
        if names is None:
            names = [f"theta_{i}" for i in range(len(distributions))]
        names = _check_names(names)
        if len(names) != len(distributions):
            shapes = [tuple(value.batch_shape + value.event_shape) for value in distributions]
            raise ValueError(
                f"`names` must have one entry per parameter: got {len(names)} ({', '.join(names)}), expected "
                f"{len(distributions)} (parameters of shapes {shapes})."
            )
        return cls(dict(zip(names, distributions, strict=True)))

    @property
    def names(self) -> tuple[str, ...]:
        """One name per coordinate; a vector-valued `mu` gives `mu[0]`, `mu[1]`, ..."""
        return self._names

    @property
    def parameters(self) -> tuple[AnyParameter, ...]:
        """The parameters with their distributions, in their order; of a vector-valued one a single entry."""
        return self._parameters

    @property
    def dim(self) -> int:
        """Number of coordinates of `theta`."""
        return len(self._names)

    @property
    def unconstrained_dim(self) -> int:
        """Number of unconstrained coordinates; smaller than `dim` for a simplex."""
        return sum(parameter.unconstrained_dim for parameter in self._parameters)

    @property
    def bounds(self) -> np.ndarray:
        """Limits of the support, (dim, 2), with -inf and inf where there is none."""
        return self._bounds

    @property
    def levels(self) -> tuple[np.ndarray | None, ...]:
        """The values that each coordinate can take, ascending, where it is an integer; None where it is not."""
        return tuple(values for parameter in self._parameters for values in parameter.levels)

    @property
    def integer_names(self) -> tuple[str, ...]:
        """Names of the coordinates that are integers."""
        return tuple(name for parameter in self._parameters for name in parameter.names if parameter.integer)

    @property
    def unconstrained_integers(self) -> np.ndarray:
        """Which of the unconstrained coordinates are those of integers, (unconstrained_dim,)."""
        return np.repeat([p.integer for p in self._parameters], [p.unconstrained_dim for p in self._parameters])

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of those whose numbers stand for labels (categorical, Bernoulli): none lies beyond the last."""
        return tuple(name for parameter in self._parameters for name in parameter.names if parameter.has_labels)

    def sample(self, n: Any, *, seed: int, stream: int = PARAMETER_STREAM) -> Float[Array, "n dim"]:
        """Draw parameters; row i depends on (seed, i) alone, not on `n`.

        Args:
            n: number of draws.
            seed: integer in [0, 2**32).
            stream: draws of different streams are independent (see `seeds`).

        Returns:
            Draws of shape (n, dim).

        Raises:
            ValueError: `n` is negative, or `seed` out of range.
        """
        n = checked_count("`n`", n, least=0)
        key = jax.random.key(check_seed(seed))
        # Every n by the same program, chunk by chunk: each length would be compiled, and could round differently.
        starts = np.arange(0, max(n, 1), _ROWS_OF_A_DRAW, dtype=np.int32)
        # All are started before the first is waited for.
        chunks = [_sample_rows(self.density, start, key, stream) for start in starts]
        return on_device(np.concatenate(list(map(np.asarray, chunks)))[:n])

    def sample_one(self, key: Key[Array, ""]) -> Float[Array, " dim"]:
        """Draw one parameter vector (dim,) from a JAX key; traceable."""
        return self._constant.sample_one(key)

    def draw_unconstrained(self, key: Key[Array, ""]) -> Float[Array, " unconstrained_dim"]:
        """The unconstrained coordinates of `sample_one(key)`; of an integer a random place on its step; traceable.

        Their density is that of `log_density_unconstrained`.
        """
        return self._constant.draw_unconstrained(key)

    def log_density(self, theta: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
        """Return the log prior density, -inf outside the support and never NaN; traceable.

        Args:
            theta: parameters (..., dim) in the prior's own units.

        Returns:
            Log density, shape (...).

        Raises:
            ValueError: the last axis of `theta` is not `dim`.
        """
        return self._apply("log_density", self._checked(theta))

    def contains(self, theta: Num[Array | np.ndarray, "..."]) -> Bool[Array, "..."]:
        """Tell for each parameter vector (..., dim) whether it lies in the support; shape (...).

        Raises:
            ValueError: the last axis of `theta` is not `dim`.
        """
        return self._apply("contains", self._checked(theta))

    def check_inside(self, theta: Any) -> None:
        """Raise ValueError naming the first parameter of `theta` (..., dim) that lies outside the prior's support."""
        outside = np.argwhere(~np.atleast_1d(self.contains(theta)))
        if not len(outside):
            return
        row = np.atleast_2d(np.asarray(theta))[tuple(outside[0])]
        named = [
            f"{name} = {value:.6g} not in [{a:.6g}, {b:.6g}]"
            if levels is None or not a <= value <= b
            else f"{name} = {value:.6g}, which is none of its whole numbers"
            for name, value, (a, b), levels in zip(self._names, row, self._bounds, self.levels, strict=True)
            if not a <= value <= b or (levels is not None and value not in levels)
        ]
        raise ValueError(
            f"`theta` has {len(outside)} row(s) outside the prior's support, the first at index "
            f"{tuple(int(i) for i in outside[0])}: {', '.join(named) or row}. Nothing was simulated there; keep theta "
            f"inside, or widen the prior and simulate again."
        )

    def to_unconstrained(self, theta: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
        """Map parameters (..., dim) inside the support to real vectors (..., unconstrained_dim); traceable.

        A value on the edge of the support maps to a large finite number; one outside gives NaN. An integer maps to the
        middle of its step under a standard normal density, see `from_unconstrained`.

        Raises:
            ValueError: the last axis of `theta` is not `dim`.
        """
        return self._apply("to_unconstrained", self._checked(theta))

    def from_unconstrained(self, u: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
        """Map real vectors (..., unconstrained_dim) to parameters (..., dim); traceable.

        An integer's coordinate u is standard normal, and maps to the least k with P(K <= k) >= Phi(u).

        Raises:
            ValueError: the last axis of `u` is not `unconstrained_dim`.
        """
        return self._apply("from_unconstrained", self._checked_unconstrained(u))

    def log_density_unconstrained(self, u: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
        """Return the log density of the unconstrained coordinates, log prior(theta(u)) + log |d theta / d u|.

        Args:
            u: real vectors (..., unconstrained_dim).

        Returns:
            Log density, shape (...); -inf where theta(u) overflows or underflows.

        Raises:
            ValueError: the last axis of `u` is not `unconstrained_dim`.
        """
        return self._apply("log_density_unconstrained", self._checked_unconstrained(u))

    def select(self, names: Sequence[str]) -> "Prior":
        """Return the prior of some of the parameters, in the order of `names`; they are independent of the others.

        Args:
            names: names of coordinates, as in `Prior.names`; of a vector-valued parameter all or none.

        Raises:
            ValueError: a name that the prior does not have, or a part of a vector-valued parameter.
        """
        unknown = [name for name in names if name not in self._names]
        if unknown:
            raise ValueError(f"`names` has {', '.join(unknown)}; the parameters are {', '.join(self._names)}.")
        whose = {name: parameter for parameter in self._parameters for name in parameter.names}
        chosen = {whose[name].name: whose[name] for name in names}
        selected = tuple(name for parameter in chosen.values() for name in parameter.names)
        if selected != tuple(names):
            raise ValueError(
                f"`names` is ({', '.join(names)}), but parameters come whole and in their order: "
                f"({', '.join(selected)}). Make each coordinate a parameter of its own to tell them apart."
            )
        return Prior({name: parameter.distribution for name, parameter in chosen.items()})

    def describe(self) -> list[dict]:
        """Return one JSON-able dictionary per parameter: its name, distribution class and settings as lists."""
        return json.loads(self._description)

    def _apply(self, method: str, values: Array | np.ndarray) -> Array:
        if is_traced(values):
            return getattr(self._constant, method)(values)
        rows = values.reshape(-1, values.shape[-1])
        done = over_rows(functools.partial(_apply_to_rows, self.density, method), rows)
        return done.reshape(*values.shape[:-1], *done.shape[1:])

    def _checked(self, theta: Any) -> Array | np.ndarray:
        return _with_last_axis("theta", theta, self.dim, ", ".join(self._names))

    def _checked_unconstrained(self, u: Any) -> Array | np.ndarray:
        return _with_last_axis("u", u, self.unconstrained_dim, "unconstrained coordinates")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prior) and self._description == other._description

    def __hash__(self) -> int:
        return hash(self._description)

    def __repr__(self) -> str:
        inner = ", ".join(f"{p.name}: {type(p.distribution).__name__}" for p in self._parameters)
        return f"Prior({inner})"

    def _repr_html_(self) -> str:
        return parameter_table(self._parameters)


def _check_names(names: Sequence[str]) -> list[str]:
    if isinstance(names, str):
        raise TypeError(f"`names` must be a sequence of strings, got the string {names!r}. Write [{names!r}].")
    checked = [check_name(name) for name in names]
    repeated = sorted({name for name in checked if checked.count(name) > 1})
    if repeated:
        raise ValueError(f"`names` must differ from each other, got {repeated} more than once.")
    return checked


def _with_last_axis(argument: str, value: Any, expected: int, meaning: str) -> Array | np.ndarray:
    array = jnp.asarray(value, dtype=float) if is_traced(value) else np.asarray(value, jnp.asarray(0.0).dtype)
    if array.ndim == 0 or array.shape[-1] != expected:
        raise ValueError(f"`{argument}` has shape {array.shape}; expected (..., {expected}), that is: {meaning}.")
    return array


@functools.partial(jax.jit, static_argnames="method")
@in_full_precision
def _apply_to_rows(density: PriorDensity, method: str, values: Array) -> Array:
    return getattr(density, method)(values)


@functools.partial(jax.jit, static_argnames="stream")
@in_full_precision
def _sample_rows(
    density: PriorDensity, start: Int[Array, ""], key: Key[Array, ""], stream: int
) -> Float[Array, "length dim"]:
    """Draws of the rows from `start` on."""
    return jax.vmap(lambda row: density.sample_one(row_key(key, row, stream)))(start + jnp.arange(_ROWS_OF_A_DRAW))

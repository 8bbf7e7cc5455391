"""What a distance is, and the structure that makes its expectation easy to learn.

A `HilbertDistance` is d(x, y) = s(x) + s(y) - 2 <features(x), features(y)>: regressing the features alone gives the
expected distance to every y. An `AdditiveDistance` (additive.py) is a mean over coordinates: the marginal distributions
of x give its expectation. Any other distance is learned through an emulator of x, or by the general network.
"""

import dataclasses
import inspect
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from ..runtime.notebook import html_properties
from ..runtime.outcome import Outcome
from ..runtime.units import unit_label
from .transforms import IDENTITY, Transform

T = TypeVar("T", bound=eqx.Module)
D = TypeVar("D", bound="Distance")
CostKind = Literal["features", "marginal", "general"]
Framing = Literal["none", "common", "each"]

_REGISTERED: dict[str, type["Distance"]] = {}


class Distance(eqx.Module):
    """A non-negative discrepancy of one output and one target; call it as `distance(x, x_target)`.

    Implementing a distance:
        A distance is one class, in one file. Choose the base class by the structure that the distance has, because that
        decides how its expectation is learned:

        - `HilbertDistance`: a squared distance of features. Write `features` and `self_term` (and `__call__`).
        - `AdditiveDistance`: a mean over coordinates of a `Growth`. Write `scale`, `scale_rule` (both from
          `additive.given_scale`), `weights`, `growth` and `transform`.
        - `Distance`: anything else. Write `__call__`.

        State `name` and `units` as fields or properties; array fields are stored with a cost, other fields must be
        numbers, texts or tuples of them, declared with `eqx.field(static=True)`. State what the rest of the library
        asks in class attributes (see below). A class registers itself by its class name when it is made, so
        costs of it can be saved, and loaded wherever its module has been imported. docs/extending.md has an example;
        tests/distances/test_distance_laws.py holds the laws that every distance has to obey.

    Attributes:
        name: of the distance, for reports and messages.
        units: of its values: in terms of the data's units, or "1 (what it counts)" where it has none.
        learned_by: the kinds of cost that can be fitted of it, the one to be preferred first.
        reads_sets: whether outputs are sets of independent trials (trials, trial_dim), in any order.
        reads_unequal_sets: whether a trial of NaN, in an output or a target, is none: sets may then have any number of
            trials, and stand in arrays filled up with NaN (`shares` of unequal_sets.py are the weights of means).
        framing: in which place and units outputs may be kept for it. "each" and "common": it depends on differences
            alone, so that a constant may be taken from every coordinate of outputs and observations, and each may be
            measured in units of its own ("each") or all in common ones; `in_units` then says how. "none": neither,
            and what single precision rounds away of outputs is lost.
        reads_gaps: whether NaN in a target is a missing value, and the distance that of all others, as if outputs had
            never had this coordinate. A `HilbertDistance` that says so has one feature for each coordinate.
        citations: BibTeX keys of `genbayes.reports.citations`, or whole BibTeX entries, of what a user has to cite.
    """

    name: eqx.AbstractVar[str]
    units: eqx.AbstractVar[str]

    learned_by: ClassVar[tuple[CostKind, ...]] = ("general",)
    reads_sets: ClassVar[bool] = False
    reads_unequal_sets: ClassVar[bool] = False
    framing: ClassVar[Framing] = "none"
    reads_gaps: ClassVar[bool] = False
    citations: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **settings: object) -> None:
        """Registers the class, by which saved costs are read.

        Raises:
            TypeError: a distance of the library has this name.
        """
        super().__init_subclass__(**settings)
        known = _REGISTERED.get(cls.__name__)
        own = __name__.split(".")[0]
        if known is not None and known.__module__.split(".")[0] == own != cls.__module__.split(".")[0]:
            raise TypeError(
                f"the class {cls.__module__}.{cls.__name__} has the name of a distance of genbayes, so that saved "
                "costs could not tell them apart: give it another name."
            )
        _REGISTERED[cls.__name__] = cls

    @abstractmethod
    def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
        """The distance of one output to one target."""

    @property
    def outcome(self) -> Outcome:
        """What is wrong with the distance as it was fitted to the simulations, and the remedy."""
        return Outcome()

    def __repr__(self) -> str:
        """The class with its arguments, as they are now: a scale that was taken from simulations in numbers."""
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self._settings().items())})"

    def _repr_html_(self) -> str:
        return html_properties(type(self).__name__, {**self._settings(), "units": unit_label(str(self.units))})

    def _settings(self) -> dict[str, str]:
        """The arguments of the class that it keeps under their names, as short texts."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: short_text(getattr(self, name)) for name in names if hasattr(self, name)}

    @property
    def output_transform(self) -> Transform:
        """What is applied to every number of an output and of a target, in double precision, before they are compared.

        The distance itself applies it to what it is called with; `without_transform` is that of transformed ones.
        """
        return IDENTITY

    def without_transform(self: D) -> D:
        """The distance of outputs and targets that have been transformed."""
        return self

    @property
    def needs_observation(self) -> bool:
        """Whether it takes something from the observation before it can be fitted."""
        return False

    def fitted(self, x: np.ndarray) -> "Distance":
        """The same distance with what it takes from the simulations filled in, from training outputs `x` (n, ...)."""
        del x
        return self

    def in_units(self: D, unit: float | np.ndarray) -> D:
        """The same distance for outputs that have been divided by `unit`: one number, or one per coordinate."""
        raise NotImplementedError(
            f"{type(self).__name__} has framing {self.framing!r}, and in_units has to be written."
        )

    def check_target(self, x_shape: tuple[int, ...], target_shape: tuple[int, ...]) -> None:
        """Checks that outputs and an observation can be compared.

        Args:
            x_shape: shape of one output.
            target_shape: shape of the observation.

        Raises:
            ValueError: an observation of `target_shape` cannot be compared to outputs of `x_shape`.
        """
        if target_shape != x_shape:
            same = np.prod(target_shape, dtype=int) == np.prod(x_shape, dtype=int)
            remedy = f"Write x_o.reshape({x_shape})." if same else "Bring the observation into the simulator's form."
            raise ValueError(
                f"x_o has shape {target_shape}, but the simulator's outputs have shape {x_shape}. {remedy}"
            )


class HilbertDistance(Distance):
    """d(x, y) = self_term(x) + self_term(y) - 2 <features(x), features(y)>.

    Where self_term(x) = ||features(x)||^2 it is ||features(x) - features(y)||^2, the squared distance of a Hilbert
    space. Its expectation given theta needs the expectation of the features alone: see `HilbertForm` in costs/forms.py.
    """

    learned_by: ClassVar[tuple[CostKind, ...]] = ("features", "general")

    @property
    def is_linear(self) -> bool:
        """Whether features are linear in the output and the self term their square: errors then add a variance."""
        return False

    @abstractmethod
    def features(self, x: Float[Array, "*shape"]) -> Float[Array, " k"]:
        """The feature map of one output."""

    @abstractmethod
    def self_term(self, x: Float[Array, "*shape"]) -> Float[Array, ""]:
        """What the distance holds of one argument alone; ||features(x)||^2 where the feature map is exact."""

    def with_error(
        self, x: Float[Array, "*shape"], sd: Float[Array, "*shape"], key: PRNGKeyArray
    ) -> tuple[Float[Array, " k"], Float[Array, ""]]:
        """The means of `features` and `self_term` over independent normal errors of an output.

        Here over 16 errors and their opposites; where they are known in closed form a distance says so.

        Args:
            x: one output without an error.
            sd: standard deviation of the error of each of its numbers.
            key: of the errors.
        """
        errors = sd[None] * jax.random.normal(key, (16, *x.shape), x.dtype)
        measured = x[None] + jnp.concatenate([errors, -errors])
        return jnp.mean(jax.vmap(self.features)(measured), axis=0), jnp.mean(jax.vmap(self.self_term)(measured))


# What JAX raises where a function wants the values of arrays while it is compiled, as those of numpy do.
_OF_TRACERS = (
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
)


class UserDistance(Distance):
    """Any function of one output and one target, written with jax.numpy.

    Args:
        function: `function(x, x_target) -> scalar`; not negative, differentiable or not. One written with numpy is
            refused when it is first used: jax.numpy has the same functions.
        name: identifies the function when a cost is saved and loaded.
        units: of the distance.
    """

    function: Callable[[Array, Array], Array] = eqx.field(static=True)
    name: str = eqx.field(static=True)
    units: str = eqx.field(static=True)

    def __init__(self, function: Callable[[Array, Array], Array], *, name: str, units: str):
        if not callable(function):
            raise TypeError(f"function must take (x, x_target) and return a scalar, got {type(function).__name__}.")
        self.function, self.name, self.units = function, name, units

    def __call__(self, x: Float[Array, "*shape"], x_target: Float[Array, "*target_shape"]) -> Float[Array, ""]:
        """The distance of one output to one target."""
        try:
            value = jnp.asarray(self.function(x, x_target))
        except _OF_TRACERS as error:
            raise TypeError(
                f"the distance {self.name!r} cannot be compiled: it uses numpy, float(), if or a loop on values that "
                f"JAX does not know yet ({type(error).__name__}). Write it with jax.numpy, such as jnp.mean for "
                "np.mean and jnp.where(condition, a, b) for if. What only Python can compute goes through "
                "jax.pure_callback, slowly; better let the simulator return it, and compare that."
            ) from error
        if value.shape != ():
            raise ValueError(
                f"the distance {self.name!r} must return one number for one output and one target, but for outputs of "
                f"shape {x.shape} it returned shape {value.shape}; reduce it, for example by jnp.mean."
            )
        return value.astype(jnp.float32)


def short_text(value: Any) -> str:
    """An argument of a distance for a reader: numbers as they are where they are few, else their shape and range."""
    if value is None:
        return "from the simulations"
    if isinstance(value, Tracer):
        return "traced"
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    if not isinstance(value, np.ndarray | jax.Array):
        return repr(value)
    values = np.asarray(value)
    if values.size and np.all(values == values.flat[0]):
        return f"{values.flat[0]:.4g}"
    if values.size <= 4:
        return f"[{', '.join(f'{item:.4g}' for item in values.reshape(-1))}]"
    return f"{values.shape} numbers from {values.min():.4g} to {values.max():.4g}"


def distance_classes() -> dict[str, type[Distance]]:
    """Every distance class that has been imported, by class name; no abstract ones."""
    return {name: cls for name, cls in sorted(_REGISTERED.items()) if not _is_abstract(cls)}


def class_names(
    kind: type[Distance] = Distance, *, reads_sets: bool | None = None, reads_unequal_sets: bool | None = None
) -> str:
    """The names of the known distances of a kind, for a message that says what to choose."""
    return ", ".join(
        name
        for name, cls in distance_classes().items()
        if issubclass(cls, kind)
        and reads_sets in (None, cls.reads_sets)
        and reads_unequal_sets in (None, cls.reads_unequal_sets)
    )


def _is_abstract(cls: type[Distance]) -> bool:
    # A class with fields that are declared, but not made, is abstract to equinox and not to Python.
    return inspect.isabstract(cls) or bool(getattr(cls, "__abstractvars__", ()))


def require_fitted(value: Array | None, x: Array) -> Array:
    """The fitted value, or a ValueError that says how to get it."""
    if value is None:
        raise ValueError(
            f"this distance takes its scale from the training simulations, which it has not seen (output {x.shape}): "
            "call distance.fitted(x) first, or let fit_cost do it."
        )
    return value


def replaced(module: T, **fields: object) -> T:
    """A copy of an equinox module with some fields replaced, static ones too; no constructor runs."""
    known = {field.name: getattr(module, field.name) for field in dataclasses.fields(module)}
    if not set(fields) <= set(known):
        raise TypeError(f"{type(module).__name__} has no fields {sorted(set(fields) - set(known))}.")
    made = object.__new__(type(module))
    # JAX itself rebuilds a module in this way.
    for name, value in {**known, **fields}.items():
        object.__setattr__(made, name, value)
    return made

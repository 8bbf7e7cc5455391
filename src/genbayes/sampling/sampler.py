"""What a sampler is, what it returns, and the register in which the library finds it by its name."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import PRNGKeyArray

from ..runtime.outcome import Outcome
from .target import Target


@dataclass(frozen=True)
class Sampled:
    """What a sampler returns.

    Attributes:
        theta: (chain, draw, dim), in the prior's own units.
        cost: (chain, draw), the cost of each draw under the target's conditions.
        statistics: what the sampler reports, by name: numbers or arrays.
        outcome: what the sampler itself finds wrong, with the remedy.
    """

    theta: np.ndarray
    cost: np.ndarray
    statistics: dict[str, Any]
    outcome: Outcome


@runtime_checkable
class Sampler(Protocol):
    """Anything with a name that turns a target into equal-weight draws.

    Implementing a sampler:
        A sampler is one class, in one file: its settings are the fields of a frozen dataclass, all with defaults. It
        works in unconstrained coordinates u: `target.log_density(u)` is the unnormalised log density of ONE u,
        `target.start(key)` draws a u from the prior, and `target.parameters_and_cost(u)` makes of the u of all draws
        what `Sampled` wants. Chains (or populations) that are independent stand along the first axis: their
        disagreement is what R-hat measures. Weighted draws have to be resampled before they are returned.

        `register_sampler` makes it known by its name: to the command line, to citations, and to `Draws`, which tells
        the reader of a bad diagnostic what to change. docs/extending.md has an example;
        tests/sampling/test_sampler_laws.py holds the laws that every registered sampler has to obey.
    """

    @property
    def name(self) -> str:
        """Name of the method, for reports and citations."""
        ...

    def run(self, target: Target, n: int, *, key: PRNGKeyArray) -> Sampled:
        """At least `n` draws (rounded up to a multiple of the number of chains); the same key gives the same draws."""
        ...


@dataclass(frozen=True)
class Advice:
    """What to do about draws that are not good enough, in the words of their sampler's settings.

    Attributes:
        chains_disagree: an imperative clause, such as "use more particles (SMC(min_particles=...))".
        few_independent: an imperative clause, such as "raise SMC(final_moves=...)".
        shares_uncertain: an imperative clause, such as "use more particles (SMC(min_particles=...))".
    """

    chains_disagree: str = "use genbayes.SMC with more particles (SMC(min_particles=...))"
    few_independent: str = "let the sampler make more steps between the draws that it keeps"
    shares_uncertain: str = "use genbayes.SMC with more particles (SMC(min_particles=...))"


@runtime_checkable
class RegisteredSampler(Sampler, Protocol):
    """A sampler that tells the rest of the library what it has to know, as class attributes.

    Attributes:
        advice: for draws that are not good enough.
        citations: BibTeX keys of `genbayes.reports.citations`, or whole BibTeX entries, of what a user has to cite.
    """

    advice: ClassVar[Advice]
    citations: ClassVar[tuple[str, ...]]


S = TypeVar("S", bound=type)
_REGISTERED: dict[str, RegisteredSampler] = {}


def register_sampler(cls: S) -> S:
    """Makes a class of samplers known by its name in small letters; use it as a decorator.

    Raises:
        TypeError: the class lacks advice, citations, a name or `run`, or cannot be made without arguments.
        ValueError: another class has the name.
    """
    for attribute, kind in (("advice", Advice), ("citations", tuple)):
        if not isinstance(getattr(cls, attribute, None), kind):
            raise TypeError(
                f"the sampler {cls.__name__} has no class attribute {attribute} of type {kind.__name__}: write "
                f"{attribute}: ClassVar[{kind.__name__}] = ... in its body."
            )
    sampler = cls()
    if not isinstance(sampler, RegisteredSampler):
        raise TypeError(
            f"the sampler {cls.__name__} lacks the attribute name or the method run(target, n, *, key); see "
            "genbayes.Sampler."
        )
    known = _REGISTERED.get(sampler.name.lower())
    # A notebook may define a class again.
    if known is not None and _place(type(known)) != _place(cls):
        raise ValueError(
            f"there is a sampler {sampler.name} already, {_place(type(known))}: give {cls.__name__} another name."
        )
    _REGISTERED[sampler.name.lower()] = sampler
    return cls


def samplers() -> dict[str, RegisteredSampler]:
    """The registered samplers with their default settings, by their names in small letters."""
    return dict(sorted(_REGISTERED.items()))


def advice_of(name: str) -> Advice:
    """The advice of a sampler by its name; a general one where no sampler of this name is registered."""
    sampler = samplers().get(name.lower())
    return Advice() if sampler is None else sampler.advice


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"

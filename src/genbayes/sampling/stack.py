"""`GibbsPosteriors`: many observations at several inverse temperatures, sampled in one compiled program."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import Float

from ..costs.cost import Conditions, Cost, Observed
from ..costs.known_parameters import with_known
from ..costs.named_observations import as_stack
from ..distances.gaps import has_gaps
from ..observations import Observation
from ..priors.prior import Prior
from ..runtime.compiling import on_device
from ..runtime.counts import checked_count
from ..runtime.notebook import html_properties
from ..runtime.outcome import Outcome
from ..runtime.progress import COMPILES, progress_bar
from ..runtime.timing import stopwatch
from ..runtime.units import unit_of_beta
from .given import judge_conditions, judge_prior
from .held_values import held_columns
from .levels import judge_known_levels
from .posterior import GibbsPosterior
from .sampler import Sampler
from .smc import SMC, Ladders
from .stacked import StackedDraws
from .stacked_left_open import StackedLeftOpen
from .target import Targets

# Particles at work at one time. On a processor more would not be quicker (they fill the caches); a GPU waits for its
# next order if it has fewer. The memory beside the draws themselves is proportional to it.
PARTICLES_AT_ONCE = 16_384
PARTICLES_AT_ONCE_ON_GPU = 262_144


class GibbsPosteriors:
    """The Gibbs posteriors of many observations, each at every one of some inverse temperatures.

    One tempered run an observation passes through all its betas, and as many observations as fit are run side by side:
    a new observation or beta compiles nothing.

    Args:
        prior: over the parameters that the cost knows, in its order.
        cost: from `fit_cost`, `load` or `Cost.exact`.
        x_o: observations (m, *x_shape); NaN is a missing value as in `GibbsPosterior`, and each may have its own gaps.
            Of distances that read sets of any size also a list of m sets (any number of trials, trial_dim).
        beta: one inverse temperature or ascending ones (b,), in 1 / units of the distance; every observation is
            sampled at every one.
        conditions: known conditions (m, c), or a mapping from name to (m,) values, where the simulator takes them.

    Raises:
        ValueError: observations, betas or conditions that `GibbsPosterior` would not take, with the number of the
            observation; betas that do not ascend.

    Example:
        >>> stack = gb.GibbsPosteriors(prior, cost, recordings, beta=[10.0, 100.0])
        >>> draws = stack.sample(2000, seed=0)
        >>> draws.draws(17).summary()
    """

    def __init__(
        self,
        prior: Prior,
        cost: Cost,
        x_o: Observed | Sequence[Any],
        beta: float | Sequence[float] | np.ndarray | None = None,
        *,
        conditions: Conditions = None,
    ):
        betas: list[Any] = [beta] if beta is None or np.ndim(beta) == 0 else list(cast(Sequence, beta))
        if not betas:
            raise ValueError("beta is empty: give one inverse temperature, or several in ascending order.")
        # Names of patients, sites, ...: by which checks call the observations.
        self.names = x_o.groups if isinstance(x_o, Observation) else None
        x_o = as_stack(x_o, cost.outputs)
        if x_o.ndim != len(cost.x_shape) + 1 or not len(x_o):
            raise ValueError(
                f"x_o has shape {x_o.shape}, expected a stack of observations (m, "
                f"{', '.join(map(str, cost.x_shape))}). For a single one write x_o[None], or use GibbsPosterior."
            )
        known = _stacked_conditions(cost, conditions, len(x_o))
        # The first observation at each beta: prior, cost and betas are checked as for one.
        first = [GibbsPosterior(prior, cost, x_o[0], value, conditions=_named(cost, known[0])) for value in betas]
        self.betas = np.asarray([posterior.beta for posterior in first])
        if np.any(np.diff(self.betas) <= 0):
            raise ValueError(f"beta must ascend, got {self.betas.tolist()}: write beta=sorted(set(beta)).")
        values = x_o.astype(np.float64)
        cost.frame.transform.check(values, "x_o")
        # Most have no gaps, and there may be many thousands.
        for number in np.flatnonzero(~np.isfinite(cost.frame(values).reshape(len(values), -1)).all(axis=1)):
            try:
                checked = cost.check_observation(values[number])
            except ValueError as error:
                raise ValueError(f"observation number {number}: {error}") from error
            if checked.shape != values[number].shape and not cost.distance.reads_unequal_sets:
                raise ValueError(
                    f"observation number {number} has missing trials, and the sets of a stack have one size: give it "
                    "to a GibbsPosterior by itself."
                )
        self.prior = prior
        self.cost = cost
        self.x_o = values
        self._gaps = cost.reads_gaps and has_gaps(values)
        self.conditions = known
        self.outcome = Outcome.joined(
            [
                judge_prior(prior, cost),
                judge_conditions(cost, known),
                judge_known_levels(cost, known),
                _judge_scale(cost, values),
            ]
        )

    def __repr__(self) -> str:
        return f"GibbsPosteriors({len(self)} observations, beta {', '.join(f'{beta:g}' for beta in self.betas)})"

    def _repr_html_(self) -> str:
        properties = {
            "parameters": ", ".join(self.prior.names),
            "observations": f"{len(self)} of shape {self.x_o.shape[1:]}",
            "conditions": ", ".join(self.cost.condition_names) or "none",
            "beta": f"{', '.join(f'{beta:g}' for beta in self.betas)}, {unit_of_beta(self.cost.distance.units)}",
            "distance": repr(self.cost.distance),
        }
        return html_properties("Gibbs posteriors", properties, self.outcome.messages)

    def __len__(self) -> int:
        return len(self.x_o)

    def posterior(self, i: int, j: int = -1) -> GibbsPosterior:
        """The posterior of observation `i` at the `j`-th beta (the highest if not given)."""
        known = _named(self.cost, self.conditions[i])
        return GibbsPosterior(self.prior, self.cost, self.x_o[i], float(self.betas[j]), conditions=known)

    def fix(self, values: Mapping[str, Any]) -> "GibbsPosteriors":
        """The posteriors of the other parameters, given that some have known values; see `GibbsPosterior.fix`.

        Args:
            values: a mapping from a parameter's name to its value, one number or one for each observation (m,).

        Raises:
            TypeError: values is no mapping to numbers.
            ValueError: what `GibbsPosterior.fix` would not take.

        Example:
            >>> known = stack.fix({"weight": [71.0, 80.5, 64.2]})
        """
        known = dict(zip(self.cost.condition_names, self.conditions.T, strict=True))
        columns = held_columns(self.prior, values, len(self), known)
        rest = self.prior.select([name for name in self.prior.names if name not in columns])
        return GibbsPosteriors(
            rest, with_known(self.cost, tuple(columns)), self.x_o, self.betas, conditions=known | columns
        )

    def sample(
        self,
        n: int,
        *,
        seed: int,
        sampler: Sampler | None = None,
        at_once: int | None = None,
        progress: bool = True,
    ) -> StackedDraws:
        """Draws from every posterior.

        The draws of an observation depend on the seed, the sampler and its number only, not on its companions.

        Args:
            n: number of draws of each posterior, rounded up to a multiple of the sampler's populations.
            seed: the same seed gives the same draws.
            sampler: `SMC()` if not given.
            at_once: bound on the particles at work at a time, so on the memory beside the draws themselves; at least
                one observation is. If not given, 16,384 on a processor and 262,144 on a GPU.
            progress: show a progress bar.

        Raises:
            ValueError: n or at_once is not a positive whole number.
            TypeError: sampler is not SMC.
        """
        if at_once is None:
            at_once = PARTICLES_AT_ONCE if jax.default_backend() == "cpu" else PARTICLES_AT_ONCE_ON_GPU
        n, at_once = checked_count("n", n), checked_count("at_once", at_once)
        sampler = SMC() if sampler is None else sampler
        if not isinstance(sampler, SMC):
            raise TypeError(
                f"sampler must be genbayes.SMC(...), got {sampler!r}: only tempering passes all betas; for other "
                "samplers use posterior(i, j).sample(...)."
            )
        particles = sampler.populations * max(-(-n // sampler.populations), sampler.min_particles)
        size = int(np.clip(at_once // particles, 1, len(self)))
        key = jax.random.key(seed)
        parts: list[Ladders] = []
        title = "sampling observations" if len(self) > 1 else f"sampling at {len(self.betas)} betas"
        with stopwatch() as seconds, progress_bar(title, len(self), progress) as advance:
            advance(0, note=COMPILES)
            for first in range(0, len(self), size):
                # The last rows again where a chunk is not full: another shape would compile another program.
                rows = np.minimum(np.arange(first, first + size), len(self) - 1)
                count = min(size, len(self) - first)
                parts.append(sampler.run_ladders(self._targets(rows), n, key=key, first=first, count=count))
                advance(count)
        theta = np.concatenate([part.theta for part in parts])
        return StackedDraws(
            theta=theta,
            cost=np.concatenate([part.cost for part in parts]),
            names=self.prior.names,
            betas=self.betas,
            x_o=self.x_o,
            log_evidence=np.concatenate([part.log_evidence for part in parts]),
            acceptance=np.concatenate([part.acceptance for part in parts]),
            stages=np.concatenate([part.stages for part in parts]),
            sampler=sampler.name,
            seed=seed,
            seconds=seconds,
            ancestor=np.concatenate([part.ancestor for part in parts]),
            messages=self._judged(sampler, parts),
            conditions=self.conditions,
            condition_names=self.cost.condition_names,
            prior_outcome=self.outcome,
            integer_names=self.prior.integer_names,
            left_open=StackedLeftOpen.of(self.cost, theta, self.x_o, self.betas, self.conditions, gaps=self._gaps),
        )

    def _judged(self, sampler: SMC, parts: list[Ladders]) -> dict[tuple[int, int], tuple[str, ...]]:
        """What the sampler finds wrong with single posteriors, by the numbers of observation and beta."""
        acceptance = np.concatenate([part.acceptance.mean(axis=-1) for part in parts])
        reached = np.concatenate([part.reached.min(axis=-1) for part in parts])
        messages = {}
        for i, j in np.ndindex(len(self), len(self.betas)):
            outcome = sampler.judge(float(acceptance[i, j]), float(reached[i, j]), float(np.float32(self.betas[j])))
            if not outcome.ok:
                messages[i, j] = outcome.messages
        return messages

    def _targets(self, rows: np.ndarray) -> Targets:
        embedded = self.cost.embed_all(self.x_o[rows], gaps=self._gaps)
        betas = on_device(self.betas, np.float32)
        cost, known = self.cost, on_device(self.conditions[rows])
        return Targets(cost.expectation, embedded, known, betas, self.prior, cost.success_of_prior)


def _stacked_conditions(cost: Cost, conditions: Conditions, m: int) -> Float[np.ndarray, "m c"]:
    if isinstance(conditions, Mapping):
        conditions = {name: np.asarray(values, np.float32) for name, values in conditions.items()}
        if set(conditions) == set(cost.condition_names):
            conditions = np.stack([conditions[name] for name in cost.condition_names], axis=-1)
    values = np.asarray(cost.check_conditions(conditions))
    if not cost.condition_names:
        return np.zeros((m, 0), np.float32)
    if values.shape != (m, len(cost.condition_names)) or not np.all(np.isfinite(values)):
        raise ValueError(
            f"conditions must be finite numbers, those of each of {m} observations, of shape "
            f"({m}, {len(cost.condition_names)}), got shape {values.shape}."
        )
    return values


def _judge_scale(cost: Cost, x_o: Float[np.ndarray, "m *x_shape"]) -> Outcome:
    """Which observations a scale dwarfs, with what is said of the first of them."""
    judged = [cost.judge_scale(one).messages for one in x_o]
    wrong = [i for i, messages in enumerate(judged) if messages]
    if not wrong:
        return Outcome()
    of = f"Of {len(wrong)} of {len(x_o)} observations, the first is number {wrong[0]}: "
    return Outcome(tuple(of + text for text in judged[wrong[0]]))


def _named(cost: Cost, values: Float[np.ndarray, " c"]) -> dict[str, float] | None:
    return dict(zip(cost.condition_names, values.tolist(), strict=True)) if cost.condition_names else None

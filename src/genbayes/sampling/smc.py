"""Adaptive tempered sequential Monte Carlo from the prior to Gibbs posteriors (Del Moral, Doucet, Jasra 2006)."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from ..runtime.compiling import on_device
from ..runtime.counts import set_counts
from ..runtime.devices import devices_asked_for
from ..runtime.outcome import Outcome
from .sampler import Advice, Sampled, register_sampler
from .target import Target, Targets
from .tempering import TemperingSettings, sample

# Acceptance of the last moves below which copies of one particle may have stayed together.
_LEAST_ACCEPTANCE = 0.3
# No gradient leads from one value of an integer to another: their shares are what resampling leaves of those among the
# particles, and scatter as these are few. With so many, by 0.01 to 0.015.
_PARTICLES_OF_INTEGERS = 8000


@register_sampler
@dataclass(frozen=True)
class SMC:
    """Particles move from the prior through exp(-b cost) prior, b from 0 to beta.

    Each step of b keeps the effective sample size of the reweighted particles at `ess_share`; they are then
    resampled and moved by Hamiltonian Monte Carlo AT THE NEW temperature, with the mass matrix of the particles and a
    step size tuned in every stage, so that the draws returned have equal weight. Independent populations are the
    chains of the result: their disagreement is what R-hat measures.

    Args:
        populations: independent particle systems, run side by side.
        min_particles: of each population; a small number of draws is a subset of them. For one posterior with integer
            parameters there are at least 8000 in all populations together.
        ess_share: effective share of the particles after a step of b.
        moves: Hamiltonian trajectories per stage.
        final_moves: trajectories at beta itself, which undo the copies that resampling made.
        max_steps: leapfrog steps of a trajectory are uniform between 1 and this (fixed lengths can resonate).
        max_stages: bound on the temperatures.
    """

    advice: ClassVar[Advice] = Advice(
        chains_disagree="use more particles (SMC(min_particles=...))",
        few_independent="raise SMC(final_moves=...)",
        shares_uncertain="use more particles (SMC(min_particles=...)), or ask for more draws",
    )
    citations: ClassVar[tuple[str, ...]] = ("delmoral2006smc", "neal2011hmc", "cabezas2024blackjax")

    populations: int = 4
    min_particles: int = 500
    ess_share: float = 0.5
    moves: int = 2
    final_moves: int = 6
    max_steps: int = 4
    max_stages: int = 200

    def __post_init__(self) -> None:
        set_counts(self, "populations", "moves", "final_moves", "max_steps", "max_stages")
        set_counts(self, "min_particles", least=50)
        if not 0 < self.ess_share < 1:
            raise ValueError(f"SMC: ess_share must lie between 0 and 1, got {self.ess_share!r}.")

    @property
    def name(self) -> str:
        """Name of the method."""
        return "SMC"

    def run(self, target: Target, n: int, *, key: PRNGKeyArray) -> Sampled:
        """At least `n` draws; see `Sampler`."""
        embedded = jax.tree.map(lambda leaf: leaf[None], target.embedded)
        targets = Targets(
            target.form, embedded, target.conditions[None], target.beta[None], target.prior, target.success
        )
        enough = -(-_PARTICLES_OF_INTEGERS // self.populations) if target.prior.integer_names else 0
        ladder = replace(self, min_particles=max(self.min_particles, enough)).run_ladders(targets, n, key=key, first=0)
        stages = int(ladder.stages[0].max())
        with np.errstate(invalid="ignore"):
            # A population that has arrived has no stages any more.
            means = {name: np.nanmean(values[:stages, 0], axis=1) for name, values in ladder.per_stage.items()}
        statistics: dict[str, Any] = {
            "beta_ladder": means["beta"],
            "acceptance": means["acceptance"],
            "ess": means["ess"],
            "step_size": means["step_size"],
            "log_evidence": float(log_mean_exp(ladder.log_evidence[0, 0])),
            "log_evidence_per_population": ladder.log_evidence[0, 0],
            "particles": ladder.particles * self.populations,
            "ancestor": ladder.ancestor[0, 0],
        }
        outcome = self.judge(
            float(ladder.acceptance[0, 0].mean()), float(ladder.reached[0, 0].min()), float(target.beta)
        )
        return Sampled(ladder.theta[0, 0], ladder.cost[0, 0], statistics, outcome)

    def run_ladders(
        self, targets: Targets, n: int, *, key: PRNGKeyArray, first: int, count: int | None = None
    ) -> "Ladders":
        """At least `n` draws of every observation at every beta, all in one compiled program.

        Args:
            targets: m observations and ascending betas (b,).
            n: number of draws, rounded up to a multiple of the populations.
            key: of all draws; an observation's draws depend on it and on the observation's number only.
            first: number of the first observation; the others follow.
            count: of the observations wanted, all if None; those after them only fill up the shape of the program.
        """
        per_chain = -(-n // self.populations)
        particles = max(per_chain, self.min_particles)
        count = targets.conditions.shape[0] if count is None else count
        tempered = sample(targets, key, on_device(first), on_device(count), self._settings(particles))
        # Copies of one ancestor stand side by side after resampling, so a stride keeps few of them, and a slice all.
        keep = np.linspace(0, particles - 1, per_chain).round().astype(int)
        *each, per_stage = jax.tree.map(np.asarray, tempered)
        theta, cost, log_evidence, reached, acceptance, ancestor, stages = (values[:count] for values in each)
        return Ladders(
            theta=theta[..., keep, :],
            cost=cost[..., keep],
            log_evidence=log_evidence,
            reached=reached,
            acceptance=acceptance,
            ancestor=ancestor[..., keep].astype(np.int32),
            stages=stages,
            per_stage={name: values[:, :count] for name, values in per_stage.items()},
            particles=particles,
        )

    def _settings(self, particles: int) -> TemperingSettings:
        return TemperingSettings(
            populations=self.populations,
            particles=particles,
            ess_share=self.ess_share,
            moves=self.moves,
            final_moves=self.final_moves,
            max_steps=self.max_steps,
            max_stages=self.max_stages,
            devices=devices_asked_for(),
        )

    def judge(self, acceptance: float, reached: float, beta: float) -> Outcome:
        """What is wrong with the draws of one observation and beta.

        Args:
            acceptance: mean share of the last moves that were accepted.
            reached: least inverse temperature of the populations.
            beta: that was asked for.
        """
        messages = []
        if not reached >= beta:
            messages.append(
                f"SMC stopped after {self.max_stages} temperatures at beta = {reached:.4g} of {beta:.4g}: the "
                "draws are of that smaller beta. Raise SMC(max_stages=...) or lower beta."
            )
        if not acceptance >= _LEAST_ACCEPTANCE:
            messages.append(
                f"Only {acceptance:.0%} of the last moves were accepted: the draws may hold copies of one another. "
                "Raise SMC(final_moves=...), or lower beta."
            )
        return Outcome(tuple(messages))


@dataclass(frozen=True)
class Ladders:
    """Tempered runs of m observations, stopped at b betas.

    Attributes:
        theta: (m, b, populations, draws, dim).
        cost: (m, b, populations, draws).
        log_evidence: of each population (m, b, populations), log of Z(beta) / Z(0).
        reached: inverse temperature of the draws (m, b, populations); less than beta where the stages were used up.
        acceptance: share of the last moves at each beta that were accepted, (m, b, populations).
        ancestor: number of the draw of the prior that each draw descends from, (m, b, populations, draws).
        stages: of each population, (m, populations).
        per_stage: beta, acceptance, ess and step size of each stage, (stages, m, populations); NaN after the last.
        particles: of each population.
    """

    theta: np.ndarray
    cost: np.ndarray
    log_evidence: np.ndarray
    reached: np.ndarray
    acceptance: np.ndarray
    ancestor: np.ndarray
    stages: np.ndarray
    per_stage: dict[str, np.ndarray]
    particles: int


def log_mean_exp(values: np.ndarray) -> np.ndarray:
    """Logarithm of the mean of exp(values) along the last axis."""
    top = values.max(axis=-1, keepdims=True)
    return np.asarray(top[..., 0] + np.log(np.mean(np.exp(values - top), axis=-1)))

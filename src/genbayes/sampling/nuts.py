"""The No-U-Turn sampler (Hoffman and Gelman 2014), many chains started from tempered draws."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..runtime.compiling import compiled
from ..runtime.counts import set_counts
from ..runtime.outcome import Outcome
from .sampler import Advice, Sampled, register_sampler
from .smc import SMC
from .target import Target


@register_sampler
@dataclass(frozen=True)
class NUTS:
    """Chains start from SMC draws (so that each mode has its share), adapt in windows, then sample.

    Args:
        chains: run side by side; fewer where there would be less than 100 draws in each.
        warmup: steps of window adaptation of step size and diagonal mass matrix, not kept.
        target_acceptance: of the step size adaptation; raise it where divergences are reported.
        max_doublings: bound on the trajectory length, 2^max_doublings leapfrog steps.
        start: the sampler of the starting points.
    """

    advice: ClassVar[Advice] = Advice(
        chains_disagree="use SMC with more particles (SMC(min_particles=...))",
        few_independent="raise NUTS(warmup=...)",
    )
    citations: ClassVar[tuple[str, ...]] = ("hoffman2014nuts", "cabezas2024blackjax")

    chains: int = 16
    warmup: int = 300
    target_acceptance: float = 0.8
    max_doublings: int = 8
    start: SMC = field(default_factory=lambda: SMC(populations=4, min_particles=250))

    def __post_init__(self) -> None:
        set_counts(self, "chains", least=2)
        set_counts(self, "warmup", least=50)
        set_counts(self, "max_doublings")
        if not 0 < self.target_acceptance < 1:
            raise ValueError(f"NUTS: target_acceptance must lie between 0 and 1, got {self.target_acceptance!r}.")

    @property
    def name(self) -> str:
        """Name of the method."""
        return "NUTS"

    def run(self, target: Target, n: int, *, key: PRNGKeyArray) -> Sampled:
        """At least `n` draws; see `Sampler`.

        Raises:
            ValueError: the prior has integer parameters.
        """
        if target.prior.integer_names:
            raise ValueError(
                f"NUTS follows the gradient of the density, which jumps between the values of the integer parameters "
                f"{', '.join(target.prior.integer_names)}: use sampler=genbayes.SMC(), which starts with all of them."
            )
        # A short chain is judged by its noise: few draws come from few chains of at least a hundred.
        chains = min(self.chains, max(4, n // 100))
        per_chain = -(-n // chains)
        start_key, pick_key, key = jax.random.split(key, 3)
        starts = self.start.run(target, self.start.populations * self.start.min_particles, key=start_key)
        flat = starts.theta.reshape(-1, starts.theta.shape[-1])
        picked = jax.random.choice(pick_key, jnp.asarray(flat), (chains,), replace=len(flat) < chains)
        theta, cost, info = _sample(target, picked, key, per_chain, self)
        divergences = int(np.sum(info["diverging"]))
        statistics: dict[str, Any] = {
            "divergences": divergences,
            "acceptance": np.asarray(info["acceptance"]).mean(axis=1),
            "step_size": np.asarray(info["step_size"]),
            "leapfrog_steps": np.asarray(info["leapfrog_steps"]),
        }
        messages = list(starts.outcome.messages)
        if divergences:
            messages.append(
                f"{divergences} of {per_chain * chains} NUTS transitions diverged: the sampler cannot follow the "
                "posterior somewhere. Raise NUTS(target_acceptance=...), or use SMC()."
            )
        return Sampled(np.asarray(theta), np.asarray(cost), statistics, Outcome(tuple(messages)))


@compiled
def _sample(
    target: Target, starts: Float[Array, "chain dim"], key: PRNGKeyArray, per_chain: int, config: NUTS
) -> tuple[Array, Array, dict[str, Array]]:
    """Adapts and runs all chains side by side; returns parameters, costs and what is told of every step."""
    adaptation = blackjax.window_adaptation(
        blackjax.nuts,
        target.log_density,
        target_acceptance_rate=config.target_acceptance,
        initial_step_size=0.5,
        max_num_doublings=config.max_doublings,
        adaptation_info_fn=lambda *_: None,
    )
    kernel = blackjax.nuts.build_kernel()

    def chain(k: PRNGKeyArray, start: Float[Array, " d"]) -> tuple[Array, dict[str, Array]]:
        warm_key, run_key = jax.random.split(k)
        (state, tuned), _ = cast(Any, adaptation.run)(warm_key, start, config.warmup)

        def step(state: Any, step_key: PRNGKeyArray) -> tuple[Any, tuple[Array, dict[str, Array]]]:
            state, info = kernel(
                step_key,
                state,
                target.log_density,
                tuned["step_size"],
                tuned["inverse_mass_matrix"],
                config.max_doublings,
            )
            kept = {
                "diverging": info.is_divergent,
                "acceptance": info.acceptance_rate,
                "leapfrog_steps": info.num_integration_steps,
            }
            return state, (state.position, kept)

        _, (positions, info) = jax.lax.scan(step, state, jax.random.split(run_key, per_chain))
        return positions, {**info, "step_size": tuned["step_size"]}

    unconstrained = target.prior.to_unconstrained(starts)
    positions, info = jax.vmap(chain)(jax.random.split(key, starts.shape[0]), unconstrained)
    return *target.parameters_and_cost(positions), info

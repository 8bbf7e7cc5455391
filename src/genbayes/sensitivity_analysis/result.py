"""`Sensitivity`: what a sensitivity analysis found, in numbers; `wording` says it in words."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from ..distances import AdditiveDistance
from ..runtime.notebook import html_text
from ..runtime.outcome import Outcome
from ..sampling.draws import Draws
from ..sampling.weights import moments
from .distances import Group
from .wording import guidance, table_text


@dataclass(frozen=True, eq=False, repr=False)
class Variant:
    """A posterior of the same observation by another distance.

    Attributes:
        name: of the variant.
        kind: "given", "distance" or "left out".
        distance: fitted.
        beta: inverse temperature, comparable to the given one; see `distances`.
        draws: of this posterior.
        distance_to_observation: (coordinates,), mean |x - x_o| of its predictions, in replicate distances: 1 is as near
            as two runs alike.
    """

    name: str
    kind: str
    distance: AdditiveDistance
    beta: float
    draws: Draws
    distance_to_observation: Float[np.ndarray, " coordinates"]

    def __repr__(self) -> str:
        return f"Variant({self.name!r}, beta {self.beta:.4g})"


@dataclass(frozen=True, eq=False, repr=False)
class Sensitivity:
    """What changes with the distance, and which parts of the output make the misfit.

    Attributes:
        names: of the parameters.
        groups: the parts of the output that are looked at, at most a dozen or so.
        variants: the given distance first, then others, then the given one with a part left out.
        share: (groups,), of the expected cost at the given posterior.
        replicate: (coordinates,), mean |x - x'| of two runs at one draw, in data units (after the transform, if any).
        distance_between_draws: (coordinates,), the same of runs at two draws of the given posterior.
        resimulated: whether these distances come from new runs of the simulator, or from the networks.
        n_failed: number of these runs that failed.
        own_outcome: what went wrong besides sampling.
    """

    names: tuple[str, ...]
    groups: tuple[Group, ...]
    variants: tuple[Variant, ...]
    share: Float[np.ndarray, " groups"]
    replicate: Float[np.ndarray, " coordinates"]
    distance_between_draws: Float[np.ndarray, " coordinates"]
    resimulated: bool = False
    n_failed: int = 0
    own_outcome: Outcome = Outcome()

    def __repr__(self) -> str:
        return f"Sensitivity({len(self.variants)} variants, {len(self.groups)} parts of the output)"

    def _repr_html_(self) -> str:
        return html_text(table_text(self, short=False))

    @cached_property
    def mean(self) -> Float[np.ndarray, "variants dim"]:
        """Posterior means."""
        return np.stack([moments(variant.draws)[0] for variant in self.variants])

    @cached_property
    def std(self) -> Float[np.ndarray, "variants dim"]:
        """Posterior standard deviations; of an integer at least half a step, for it may be certain."""
        least = np.where(np.isin(self.names, self.variants[0].draws.integer_names), 0.5, 1e-300)
        return np.stack([np.maximum(moments(variant.draws)[1], least) for variant in self.variants])

    @cached_property
    def shift(self) -> Float[np.ndarray, "variants dim"]:
        """Posterior mean less that of the given distance, in standard deviations of the latter."""
        return (self.mean - self.mean[0]) / self.std[0]

    @cached_property
    def shift_error(self) -> Float[np.ndarray, "variants dim"]:
        """Monte Carlo standard error of `shift`, from the disagreement of the sampler's chains; 0 of the given one."""
        error = np.stack([moments(variant.draws)[2] for variant in self.variants]) / self.std[0]
        return np.sqrt(error[0] ** 2 + error**2) * (np.arange(len(error)) > 0)[:, None]

    @cached_property
    def width_ratio(self) -> Float[np.ndarray, "variants dim"]:
        """Posterior standard deviation over that of the given distance."""
        return self.std / self.std[0]

    @cached_property
    def distance_to_observation(self) -> Float[np.ndarray, "variants groups"]:
        """Distance |x - x_o| of the predictions in replicate distances |x - x'|, mean over each part of the output."""
        masks = [group.members.reshape(-1) for group in self.groups]
        return np.stack([[float(v.distance_to_observation[mask].mean()) for mask in masks] for v in self.variants])

    @cached_property
    def spread(self) -> Float[np.ndarray, " groups"]:
        """What two predictions of the given posterior are apart, in replicate distances: 1 where beta pins all down."""
        ratio = self.distance_between_draws / self.replicate
        return np.array([float(ratio[group.members.reshape(-1)].mean()) for group in self.groups])

    @cached_property
    def misfit(self) -> Float[np.ndarray, "variants groups"]:
        """How far the observation lies from the predictions, over how far two of the given posterior's lie apart.

        Around 1 the observation is as one of the predictions; 1.8 where it is two standard deviations off their mean.
        """
        return self.distance_to_observation / self.spread

    @cached_property
    def guidance(self) -> tuple[str, ...]:
        """What to conclude, in sentences."""
        return guidance(self)

    @cached_property
    def outcome(self) -> Outcome:
        """What went wrong in sampling, by variant."""
        messages = [*self.own_outcome.messages]
        for variant in self.variants:
            messages += [f"{variant.name}: {text}" for text in variant.draws.outcome.messages]
        return Outcome(tuple(dict.fromkeys(messages)))

    def summary(self) -> str:
        """The tables and the guidance as plain text, 80 columns wide."""
        return table_text(self)

    def to_dict(self) -> dict[str, Any]:
        """All numbers as plain values, for a JSON file."""
        return {
            "parameters": list(self.names),
            "parts": [group.name for group in self.groups],
            "share_of_cost": self.share.tolist(),
            "predictions_apart_in_replicate_distances": self.spread.tolist(),
            "resimulated": self.resimulated,
            "runs_failed": self.n_failed,
            "variants": [
                {
                    "name": variant.name,
                    "kind": variant.kind,
                    "distance": variant.distance.name,
                    "units": variant.distance.units,
                    "beta": variant.beta,
                    "mean": self.mean[i].tolist(),
                    "standard_deviation": self.std[i].tolist(),
                    "shift": self.shift[i].tolist(),
                    "shift_error": self.shift_error[i].tolist(),
                    "width_ratio": self.width_ratio[i].tolist(),
                    "off_in_replicate_distances": self.distance_to_observation[i].tolist(),
                    "misfit": self.misfit[i].tolist(),
                }
                for i, variant in enumerate(self.variants)
            ],
            "guidance": list(self.guidance),
            "warnings": list(self.outcome.messages),
        }

"""A cost fitted anew, on more simulations and in the same way."""

from dataclasses import replace
from typing import Any, Literal

from ..costs.cost import Cost
from ..costs.fitting import Method, fit_cost
from ..costs.forms import HilbertForm, MarginalForm
from ..costs.known_parameters import held_names, with_known
from ..costs.store_rows import ROWS_IN_MEMORY, StorePart
from ..learning.distributions import TransformedMean
from ..learning.training import FitConfig
from ..simulations.rows import Simulations

# With more simulations the networks of marginal distributions are trained on from where they are. With fewer a fit
# takes seconds, and the scales and polynomials of the first few runs, around which they are built, would stay.
_MOST_ANEW = 600


def refit(
    cost: Cost,
    simulations: Simulations | StorePart,
    *,
    seed: int,
    progress: bool,
    cheap: Simulations | None = None,
    rows_in_memory: int = ROWS_IN_MEMORY,
) -> Cost:
    """The cost fitted on more simulations, in the same way.

    Networks of general costs, and of marginal ones of many simulations, are trained on; all else is fitted anew. Where
    parameters are held at values, simulations are of all parameters, and so is the fit.
    """
    if cost.whole is not None:
        told: dict[str, Any] = {"seed": seed, "progress": progress, "cheap": cheap, "rows_in_memory": rows_in_memory}
        whole = refit(cost.whole, simulations, **told)
        return with_known(whole, held_names(cost))
    config = FitConfig(**cost.settings["config"])
    # A general network where an emulator was tried beside it: both are tried again.
    method: Method = cost.settings.get("method", "general")
    if isinstance(cost.form, HilbertForm):
        method = "auto"
    elif isinstance(cost.form, MarginalForm):
        method = "marginal"
    anew = isinstance(cost.form, MarginalForm) and (
        # Around the process of a few runs no more is learned of many.
        isinstance(cost.form.distribution.location, TransformedMean)
        or (isinstance(simulations, Simulations) and len(simulations) <= _MOST_ANEW)
    )
    embedding: Literal["auto", "vector", "set", "series"] = cost.settings.get("embedding", "auto")
    made = fit_cost(
        simulations,
        cost.distance,
        seed=cost.settings.get("seed", seed),
        config=config,
        method=method,
        embedding=embedding,
        failures=cost.settings.get("failures", "condition"),
        progress=progress,
        start=None if anew else cost,
        cheap=cheap,
        rows_in_memory=rows_in_memory,
        measurement_error=cost.measurement_error,
    )
    return replace(made, settings={**cost.settings, **made.settings})

"""What is said of a set of simulations in a few lines."""

from typing import Any

from ..distances.unequal_sets import trials_present


def summary_of(simulations: Any) -> str:
    """How many runs there are, why some failed, and whether there is noise in them; of a `Simulations`."""
    counts = simulations.counts
    text = f"{counts.rows} simulations of {simulations.simulator or 'a simulator'}: {counts.succeeded} ok, "
    text += f"{counts.failed} failed, {counts.pending} pending; {simulations.seconds:.1f} s"
    if simulations.sampled_from is not None:
        text += f"; a sample of {len(simulations)} of them"
    listed = [f"{count} x {what}" for count, what in simulations.failures()]
    if listed:
        text += "\nfailed: " + "; ".join(listed[:5]) + ("; ..." if len(listed) > 5 else "")
    if simulations.unequal_sets and simulations.ok.any():
        sizes = trials_present(simulations.x[simulations.ok]).sum(axis=1)
        text += f"\nsets of {sizes.min()} to {sizes.max()} trials"
    if simulations.deterministic:
        text += "\nThe simulator is deterministic: its outputs have no measurement error, and an observation has "
        text += "(genbayes.with_measurement_error adds it to runs, fit_cost(..., measurement_error=sd) to a cost; "
        text += "[fit] measurement_error = sd in a problem file)."
    return text

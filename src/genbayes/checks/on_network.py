"""What is found about the network behind the cost, in plain words with numbers and remedy."""

from typing import Any

import numpy as np

from ..costs.records import fit_records
from ..runtime.formatting import number
from ..runtime.statistics import mean_and_error
from .accuracy import accuracy
from .evidence import Evidence
from .finding import Finding
from .predictive import inaccurate

# Posterior standard deviations by which the network's error may move a mean before it needs care.
MEAN_CARE = 0.25
REFINE = "genbayes refine"


def on_fit(cost: Any) -> list[Finding]:
    """Whether training went well."""
    records = fit_records(cost)
    if not records:
        text = "Cost: not fitted by genbayes (exact or given), so there is no training to judge."
        return [Finding("note", text, check="fit")]
    bad = [
        Finding("bad", " ".join(filter(None, ["Network", getattr(record, "name", "")])) + f": {text}", check="fit")
        for record in records
        if not record.outcome.ok
        for text in record.outcome.messages or ("the fit did not succeed; see its losses.",)
    ]
    return bad or [Finding("ok", "Network: the fit reports no problem.", check="fit")]


def on_extrapolation(evidence: Evidence, agrees: bool) -> list[Finding]:
    """Whether the draws lie where there were simulations to learn from."""
    far = evidence.extrapolation
    if far is None:
        return []
    numbers = {"p_value": far.p_value, "share": far.share, "distance": far.distance}
    if far.inside:
        text = f"Training: simulated parameters lie around the draws as usual (p = {far.p_value:.2g})."
        return [Finding("ok", text, check="extrapolation in theta", numbers=numbers)]
    text = f"Extrapolating: few simulations lie where the draws are; these are {far.distance:.2g} times as far from "
    text += f"simulated parameters as those from one another (p = {far.p_value:.2g})."
    if agrees:
        text += " New runs at the draws agree with the network's cost, so it holds there."
        return [Finding("note", text, check="extrapolation in theta", numbers=numbers)]
    remedy = f"Do not trust the network there: add simulations at the draws ({REFINE}), or choose a prior around them."
    return [Finding("care", text, remedy, "extrapolation in theta", numbers)]


def on_agreement(check: Any) -> list[Finding]:
    """What new runs at the draws say of the predicted cost, of the ensemble, and of the fit to the data."""
    if check is None:
        text = "Cost: the network's prediction was not compared with new runs at the draws."
        remedy = "Run genbayes check with new runs (--resimulate), or pass check=gb.check_predictive(simulator, "
        remedy += "posterior, draws, seed=...)."
        return [Finding("care", text, remedy, "cost")]
    result = accuracy(check.predicted, check.simulated)
    far = inaccurate(result.relative, result.relative_error)
    text = (
        f"Cost: at the draws the predicted mean cost is {number(mean_and_error(check.predicted)[0])}, the re-simulated "
        f"{number(mean_and_error(check.simulated)[0])}: {100 * result.relative:+.1f} % (standard error "
        f"{100 * result.relative_error:.1f} %)."
    )
    remedy = ""
    if far:
        text += " The network is inaccurate where the draws are."
        remedy = f"Add simulations at the draws and fit again ({REFINE}); or simulate more, or lower beta."
    numbers = {"relative_error": result.relative, "standard_error": result.relative_error}
    found = [Finding("care" if far else "ok", text, remedy, "cost", numbers)]
    error = float(getattr(check, "log_density_error", 0.0))
    if error > 0:
        text = f"Resolution: the networks disagree by {error:.2g} in log density between draws"
        numbers = {"log_density_error": error}
        if error > 1:
            text += "; beta is larger than they resolve."
            remedy = f"Lower beta, simulate more, add simulations at the draws ({REFINE}), or fit a larger ensemble."
            found.append(Finding("care", text, remedy, "resolution", numbers))
        else:
            found.append(Finding("ok", text + ", which is little.", check="resolution", numbers=numbers))
    simulated, replicate = (mean_and_error(values)[0] for values in (check.simulated, check.replicate))
    ratio = simulated / replicate if replicate > 0 else np.nan
    if np.isfinite(ratio):
        text = (
            f"Fit to the data: runs at the draws are {ratio:.2f} times as far from the observation as from each other"
        )
        text += (
            ": the simulator reproduces it to within its own noise."
            if ratio < 1.25
            else "; either a higher beta gets closer, or the simulator cannot reproduce the observation (misspecified)."
        )
        found.append(Finding("note", text, check="fit to the data", numbers={"ratio": float(ratio)}))
    if int(check.n_failed):
        text = f"Check: {check.n_failed} runs at the draws failed and are left out of the numbers."
        found.append(Finding("care", text, check="failures at the draws", numbers={"failed": float(check.n_failed)}))
    return found


def on_means(evidence: Evidence) -> list[Finding]:
    """Error bars on the posterior means."""
    means = evidence.means
    if means is None:
        return []
    # A parameter without spread has no mean to be wrong about.
    std = np.where(means.std > 0, means.std, np.inf)
    shift, members = np.where(means.significant, means.shift, 0.0) / std, means.member_error / std
    numbers = {"shift": float(np.max(np.abs(shift))), "members": float(np.max(members))}
    worst = int(np.argmax(np.abs(shift)))
    remedy = f"Add simulations at the draws and fit again ({REFINE}); or simulate more."
    if abs(shift[worst]) > MEAN_CARE:
        if abs(shift[worst]) > 1:
            # An estimate to first order: how far beyond cannot be said.
            text = "Means: new runs at the draws contradict the network: its error puts the mean of "
            side = "low" if shift[worst] > 0 else "high"
            text += f"{means.names[worst]} too {side} by more than a posterior standard deviation."
            return [Finding("bad", text, remedy, "means", numbers)]
        text = f"Means: new runs put the mean of {means.names[worst]} at {number(means.corrected[worst])} (standard "
        text += f"error {number(means.shift_error[worst], 2)}), not {number(means.mean[worst])}: the network's error "
        text += f"moves it by {abs(shift[worst]):.2g} posterior standard deviations."
        return [Finding("care", text, remedy, "means", numbers)]
    worst = int(np.argmax(members))
    if members[worst] > 0.5:
        text = (
            f"Means: the ensemble leaves the mean of {means.names[worst]} uncertain by {members[worst]:.2g} posterior "
        )
        text += f"standard deviations ({number(means.mean[worst])} +- {number(means.member_error[worst], 2)})."
        return [Finding("care", text, remedy + " A larger ensemble tells more.", "means", numbers)]
    least = np.nanmax(np.where(np.isfinite(means.shift_error), means.shift_error, 0.0) / std)
    if not np.any(np.isfinite(means.shift)):
        if not np.any(means.member_error > 0):
            return []
        text = f"Means: the ensemble leaves them uncertain by at most {members[worst]:.2g} standard deviations."
        return [Finding("ok", text, check="means", numbers=numbers)]
    text = "Means: no error of the network is seen in the posterior means; new runs would show one of "
    text += f"{3 * least:.2g} posterior standard deviations."
    return [Finding("ok", text, check="means", numbers={**numbers, "resolved": float(3 * least)})]

"""Generalized Bayesian inference for scientific simulators by amortized cost estimation."""

from . import distances, plots, tasks, temperature
from .checks.coverage import Coverage, coverage
from .checks.mean_errors import MeanErrors, mean_errors
from .checks.predictive import PredictiveCheck, check_predictive
from .checks.stack import StackCheck, check_stack
from .checks.support import Support, SupportReference
from .checks.verdict import Check, check
from .costs.cost import Cost
from .costs.files import load, save
from .costs.fitting import fit_cost
from .learning.training import FitConfig, FitRecord
from .model_comparison.comparison import ModelComparison, ModelEvidence
from .model_comparison.evidences import compare_models
from .observations import Observation, read_observation
from .priors.prior import Prior
from .refinement.agreement import Agreement
from .refinement.rounds import Refined, refine
from .reports.citations import bibtex
from .reports.page import report
from .runtime.outcome import Outcome
from .sampling.draws import Draws
from .sampling.nuts import NUTS
from .sampling.posterior import GibbsPosterior
from .sampling.sampler import Sampled, Sampler, register_sampler
from .sampling.smc import SMC
from .sampling.stack import GibbsPosteriors
from .sampling.stacked import StackedDraws
from .sampling.target import Target
from .sensitivity_analysis.analysis import Sensitivity, sensitivity
from .simulations.measurement_error import with_measurement_error
from .simulations.rows import Simulations
from .simulations.running import simulate, simulate_at
from .simulations.simulators import JaxSimulator, PythonSimulator, Simulator

__version__ = "0.1.0"

__all__ = [
    "NUTS",
    "SMC",
    "Agreement",
    "Check",
    "Cost",
    "Coverage",
    "Draws",
    "FitConfig",
    "FitRecord",
    "GibbsPosterior",
    "GibbsPosteriors",
    "JaxSimulator",
    "MeanErrors",
    "ModelComparison",
    "ModelEvidence",
    "Observation",
    "Outcome",
    "PredictiveCheck",
    "Prior",
    "PythonSimulator",
    "Refined",
    "Sampled",
    "Sampler",
    "Sensitivity",
    "Simulations",
    "Simulator",
    "StackCheck",
    "StackedDraws",
    "Support",
    "SupportReference",
    "Target",
    "bibtex",
    "check",
    "check_predictive",
    "check_stack",
    "compare_models",
    "coverage",
    "distances",
    "fit_cost",
    "load",
    "mean_errors",
    "plots",
    "read_observation",
    "refine",
    "register_sampler",
    "report",
    "save",
    "sensitivity",
    "simulate",
    "simulate_at",
    "tasks",
    "temperature",
    "with_measurement_error",
]


def __dir__() -> list[str]:
    """The public names alone: the packages behind them are no part of the interface."""
    return sorted(__all__)

"""Generalized Bayesian inference for scientific simulators by amortized cost estimation."""

from . import distances as distances
from . import plots as plots
from . import tasks as tasks
from . import temperature as temperature
from .check import Check as Check
from .check import check as check
from .citations import bibtex as bibtex
from .cost import Cost as Cost
from .coverage import Coverage as Coverage
from .coverage import coverage as coverage
from .diagnostics import PredictiveCheck as PredictiveCheck
from .diagnostics import check_predictive as check_predictive
from .fit_cost import fit_cost as fit_cost
from .network_error import MeanErrors as MeanErrors
from .network_error import mean_errors as mean_errors
from .persistence import load as load
from .persistence import save as save
from .posterior import GibbsPosterior as GibbsPosterior
from .posterior_stack import GibbsPosteriors as GibbsPosteriors
from .prior import Prior as Prior
from .refinement import Refined as Refined
from .refinement import refine as refine
from .report import report as report
from .sampling import NUTS as NUTS
from .sampling import SMC as SMC
from .sampling import Draws as Draws
from .sampling import StackedDraws as StackedDraws
from .sensitivity import Sensitivity as Sensitivity
from .sensitivity import sensitivity as sensitivity
from .simulate import simulate as simulate
from .simulate import simulate_at as simulate_at
from .simulations import Simulations as Simulations
from .stack_check import StackCheck as StackCheck
from .stack_check import check_stack as check_stack
from .support import Support as Support
from .support import SupportReference as SupportReference
from .training import FitConfig as FitConfig
from .training import FitRecord as FitRecord

__version__ = "0.1.0"

"""What `import genbayes` offers; __init__.py reads this file, and imports a name when it is first used."""

from . import distances as distances
from . import plots as plots
from . import tasks as tasks
from . import temperature as temperature
from .checks.coverage import Coverage as Coverage
from .checks.coverage import coverage as coverage
from .checks.mean_errors import MeanErrors as MeanErrors
from .checks.mean_errors import mean_errors as mean_errors
from .checks.predictive import PredictiveCheck as PredictiveCheck
from .checks.predictive import check_predictive as check_predictive
from .checks.stack import StackCheck as StackCheck
from .checks.stack import check_stack as check_stack
from .checks.support import Support as Support
from .checks.support import SupportReference as SupportReference
from .checks.verdict import Check as Check
from .checks.verdict import check as check
from .costs.cost import Cost as Cost
from .costs.files import load as load
from .costs.files import save as save
from .costs.fitting import fit_cost as fit_cost
from .learning.training import FitConfig as FitConfig
from .learning.training import FitRecord as FitRecord
from .model_comparison.comparison import ModelComparison as ModelComparison
from .model_comparison.comparison import ModelEvidence as ModelEvidence
from .model_comparison.evidences import compare_models as compare_models
from .observations import Observation as Observation
from .observations import read_observation as read_observation
from .priors.prior import Prior as Prior
from .refinement.agreement import Agreement as Agreement
from .refinement.rounds import Refined as Refined
from .refinement.rounds import refine as refine
from .reports.citations import bibtex as bibtex
from .reports.page import report as report
from .runtime.outcome import Outcome as Outcome
from .sampling.draws import Draws as Draws
from .sampling.nuts import NUTS as NUTS
from .sampling.posterior import GibbsPosterior as GibbsPosterior
from .sampling.sampler import Sampled as Sampled
from .sampling.sampler import Sampler as Sampler
from .sampling.sampler import register_sampler as register_sampler
from .sampling.smc import SMC as SMC
from .sampling.stack import GibbsPosteriors as GibbsPosteriors
from .sampling.stacked import StackedDraws as StackedDraws
from .sampling.target import Target as Target
from .sensitivity_analysis.analysis import Sensitivity as Sensitivity
from .sensitivity_analysis.analysis import sensitivity as sensitivity
from .simulations.measurement_error import with_measurement_error as with_measurement_error
from .simulations.rows import Simulations as Simulations
from .simulations.running import simulate as simulate
from .simulations.running import simulate_at as simulate_at
from .simulations.simulators import JaxSimulator as JaxSimulator
from .simulations.simulators import PythonSimulator as PythonSimulator
from .simulations.simulators import Simulator as Simulator

__version__: str
__all__: list[str]

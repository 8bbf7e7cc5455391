"""Methods to compare with, all from the same simulations; `METHODS[name].fit(...)`, then `.sample(...)`."""

from .cost_methods import CostMethod, Exact
from .emulator import EmulatorGBI
from .method import Fitted as Fitted
from .method import Method as Method
from .method import MethodDraws as MethodDraws
from .nle import NLE
from .npe import NPE
from .rejection import RejectionABC

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        CostMethod("ace", "auto"),
        CostMethod("ace-general", "general"),
        Exact(),
        RejectionABC(),
        NPE(),
        NLE(),
        NLE("nle-tempered", tempered=True),
        EmulatorGBI(),
    )
}

"""The registry of rules for beta: a rule is one file that says how it chooses, what it needs, and how it is drawn.

How to add a rule: write `temperature/rule_NAME.py` (every file of that prefix is found) or, in a script of yours,

    register(Rule("name", choose, "what it runs or takes", "how to read its picture", draw))

`genbayes temperature --rule name` and `gb.plots.choice` know it from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..costs.cost import Cost
from ..priors.prior import Prior
from ..runtime.registry import Registry
from ..simulations.executors import Workers
from ..simulations.rows import Simulations
from ..simulations.simulators import AnySimulator
from .choice import Choice
from .ladders import Ladder

if TYPE_CHECKING:
    import matplotlib.figure


@dataclass(frozen=True)
class RuleOption:
    """An option of the command line that belongs to one rule.

    Attributes:
        flag: as typed, such as "--held-out"; the rule finds its value as `options["held_out"]`.
        default: of its value.
        help: in a few words.
        type: function of the typed text that returns the value, or the name of one of `command_line.argument_types`,
            such as "natural" (0, 1, 2, ...), "count" (1, 2, ...), "positive" or "probability".
        metavar: what stands for the value in the help.
        several: whether several values may be typed; the value is a sequence then.
    """

    flag: str
    default: Any
    help: str
    type: str | Callable[[str], Any] = "natural"
    metavar: str = "N"
    several: bool = False

    @property
    def name(self) -> str:
        """Under which a rule finds the value."""
        return self.flag.lstrip("-").replace("-", "_")


@dataclass(frozen=True, eq=False)
class Question:
    """What a rule is given to choose a beta by.

    Attributes:
        ladder: of the observation; it holds prior, cost, observation and conditions.
        simulator: as given to `simulate`, to be run anew; None where it may not be run.
        simulations: that are stored.
        conditions_prior: distribution of the simulator's known conditions, where it takes any.
        n: draws of a posterior.
        seed: of draws.
        run_seed: of new runs; another one than that of the simulations.
        workers: see `simulate`.
        progress: show progress bars.
        options: values of the rule's own options, by `RuleOption.name`.
    """

    ladder: Ladder
    simulator: AnySimulator | None = None
    simulations: Simulations | None = None
    conditions_prior: Prior | None = None
    n: int = 2000
    seed: int = 0
    run_seed: int = 1
    workers: Workers = 1
    progress: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


def _for_any(cost: Cost) -> bool:
    del cost
    return True


@dataclass(frozen=True)
class Rule:
    """A rule that chooses an inverse temperature.

    Attributes:
        name: of the rule, as its choices bear it.
        choose: question -> choice; ValueError where the rule does not apply, which leaves other rules standing.
        needs: what it runs or takes, in words that follow its name.
        caption: how to read its picture.
        draw: choice -> matplotlib Figure, from `Choice.evidence` alone.
        options: of the command line, that belong to this rule.
        applies: whether it is asked, for this cost, where nobody names a rule; never, for a rule that cannot do without
            a number of the user's.
        when: that in words, such as "for sets of trials" or "only by its name"; empty where it is always asked.
        place: among the rules; the library's stand at 10, 20 and 30.
    """

    name: str
    choose: Callable[[Question], Choice]
    needs: str
    caption: str
    draw: Callable[[Choice], matplotlib.figure.Figure]
    options: tuple[RuleOption, ...] = ()
    applies: Callable[[Cost], bool] = _for_any
    when: str = ""
    place: int | float = 100

    def answer(self, question: Question) -> Choice:
        """The rule's choice, with the default of every option of its own that the question leaves out."""
        options = {option.name: option.default for option in self.options} | dict(question.options)
        return self.choose(replace(question, options=options))


def default_options() -> dict[str, Any]:
    """The default of every option of every rule, by `RuleOption.name`."""
    return {option.name: option.default for rule in rules() for option in rule.options}


RULES: Registry[Rule] = Registry("rule", "genbayes.temperature", "rule_")


def register(rule: Rule) -> Rule:
    """Registers a rule.

    Raises:
        ValueError: another module has registered a rule of this name.
    """
    RULES.add(rule.name, rule, rule.choose.__module__)
    return rule


def rules() -> tuple[Rule, ...]:
    """All registered rules in their order."""
    return tuple(sorted(RULES.all(), key=lambda rule: rule.place))


def rule_named(name: str) -> Rule:
    """The rule of this name.

    Raises:
        ValueError: there is none.
    """
    rule = RULES.get(name)
    if rule is None:
        known = ", ".join(rule.name for rule in rules())
        raise ValueError(
            f"there is no rule {name!r} (there are: {known}): import the script that registers it by "
            "genbayes.temperature.rules.register."
        )
    return rule

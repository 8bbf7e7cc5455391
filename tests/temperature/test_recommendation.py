"""One recommendation from several rules: agreement, disagreement, warnings, and a simulator that looks misspecified."""

from genbayes.runtime.outcome import Outcome
from genbayes.temperature import Choice
from genbayes.temperature.recommendation import recommend


def choice(rule: str, beta: float, low: float, high: float, *warnings: str, misspecified: bool = False) -> Choice:
    return Choice(
        rule=rule,
        beta=beta,
        interval=(low, high),
        finding="Found.",
        assumes="Assumes.",
        units="1",
        names=("a",),
        outcome=Outcome(warnings),
        misspecified=misspecified,
    )


CALIBRATED = choice("calibrated", 11.2, 9.5, 13.8)
FLOOR = choice("noise_floor", 9.9, 8.0, float("inf"))
BOOTSTRAP = choice("bootstrap", 10.2, 8.4, 12.4)
OWN = choice("own", 10.0, 9.0, 11.0)


def test_no_rule_and_one_rule() -> None:
    assert recommend([]).choices == ()
    assert recommend([]).take() == ""
    for one in (CALIBRATED, FLOOR, BOOTSTRAP, OWN):
        assert recommend([one]) == ((one,), "")
    assert recommend([OWN]).take() == "Take --beta 10 (own)"
    warned = choice("own", 10.0, 9.0, 11.0, "a warning")
    assert recommend([warned]).choices == (warned,)
    assert "Mind the warning of own" in recommend([warned]).reason


def test_rules_that_agree() -> None:
    for several in ([FLOOR, CALIBRATED], [OWN, FLOOR, BOOTSTRAP, CALIBRATED]):
        assert recommend(several) == ((CALIBRATED,), "")
    assert recommend([OWN, FLOOR]).choices == (FLOOR,)


def test_a_cautious_floor_is_told() -> None:
    low = choice("noise_floor", 3.3, 2.9, 4.0)
    found = recommend([low, CALIBRATED])
    assert found.choices == (CALIBRATED,)
    assert found.take() == "Take --beta 11.2 (calibrated)"
    assert found.reason == "noise_floor says 3.3: sample there, too, and where the answers differ report both."


def test_a_simulator_that_looks_misspecified() -> None:
    # The second observation in the table of docs/temperature.md: without trials both betas are to be reported.
    floor = choice("noise_floor", 0.94, 0.9, float("inf"), "looks misspecified", misspecified=True)
    found = recommend([floor, CALIBRATED])
    assert found.betas == (0.94, 11.2)
    assert found.take() == "Take --beta 0.94 11.2 (noise_floor, calibrated)"
    assert "do not settle on one beta: noise_floor finds" in found.reason
    trials = choice("bootstrap", 1.0, 0.8, 1.2)
    assert recommend([floor, CALIBRATED, trials]).choices == (trials,)
    assert "no beta makes a width right" in recommend([floor]).reason
    # A warning against that rule, too, leaves none that is better than the others.
    doubtful = choice("bootstrap", 1.0, 0.8, 1.2, "at the bounds")
    assert recommend([floor, CALIBRATED, doubtful]).betas == (0.94, 1.0, 11.2)


def test_trials_that_scatter_otherwise() -> None:
    trials = choice("bootstrap", 1.0, 0.8, 1.2)
    found = recommend([CALIBRATED, trials])
    assert found.choices == (trials,)
    assert found.reason.startswith("calibrated says 11.2; the width by bootstrap follows the data")


def test_a_warning_against_the_preferred_rule() -> None:
    warned = choice("calibrated", 11.2, 9.5, 13.8, "covers too seldom")
    assert recommend([warned, FLOOR]).choices == (FLOOR, warned)
    # The floor prefers calibrated where one noisy observation is all that it finds.
    noisy = choice("noise_floor", 9.9, 8.0, float("inf"), "Prefer the rule calibrated.")
    assert recommend([noisy, CALIBRATED]) == ((CALIBRATED,), "")
    # Both are doubtful: far apart, neither is to be followed alone; near one another, the first will do.
    doubtful = choice("noise_floor", 181.6, 155.0, 210.0, "not well sampled")
    assert recommend([doubtful, warned]).choices == (warned, doubtful)
    assert recommend([noisy, warned]).choices == (warned,)

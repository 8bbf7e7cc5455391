"""Laws of every registered rule for beta: chooses between the betas it was given, in words, numbers and a picture."""

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import genbayes as gb
from genbayes import cli
from genbayes.plots.temperatures import temperature as ladder_figure
from genbayes.temperature import ladder
from genbayes.temperature.choice import Choice
from genbayes.temperature.rules import RULES, Question, Rule, RuleOption, register, rule_named, rules

TRIALS = 10
PRIOR = gb.Prior({"a": dist.Normal(0.0, 3.0)})
COST = gb.Cost.exact(
    lambda theta, x: (theta[0] - jnp.mean(x)) ** 2 + 0.5, names=("a",), x_shape=(TRIALS, 1), units="mV²"
)
X_O = 1.0 + np.random.default_rng(1).normal(size=(TRIALS, 1))


@pytest.fixture(scope="module")
def question():
    rng = np.random.default_rng(0)
    theta = 3 * rng.normal(size=(60, 1))
    simulations = gb.Simulations.from_arrays(theta, theta[:, None] + rng.normal(size=(60, TRIALS, 1)), ("a",))
    found = ladder(PRIOR, COST, X_O, np.geomspace(0.2, 40, 8), n=400, seed=0)
    # Nothing is run anew: stored runs take the place of new ones.
    options = {"resimulate": 0, "held_out": 0}
    return Question(found, simulations=simulations, n=200, progress=False, options=options)


def assert_same(one, two):
    assert one.beta == two.beta
    assert one.interval == two.interval
    assert one.evidence.keys() == two.evidence.keys()
    for name, value in one.evidence.items():
        np.testing.assert_array_equal(value, two.evidence[name])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_every_rule_chooses_says_why_and_draws(rule, question):
    chosen = rule.answer(question)
    assert chosen.rule == rule.name
    # Of three rules none may leave the ladder by more than a factor of ten where noise and posterior are ordinary.
    assert question.ladder.betas[0] / 10 < chosen.beta < 10 * question.ladder.betas[-1]
    assert chosen.interval[0] <= chosen.beta <= chosen.interval[1]
    assert chosen.units == "mV²"
    assert all(sentence[-1] in ".)" for sentence in chosen.sentences())
    assert gb.temperature.NO_RESCUE in chosen.sentences()
    assert max(map(len, chosen.summary().split("\n"))) <= 80
    assert json.loads(json.dumps(chosen.numbers(), allow_nan=False))["beta"] == chosen.beta
    gb.plots.choice(chosen).canvas.draw()
    ladder_figure(question.ladder, [chosen]).canvas.draw()
    assert rule.caption.endswith(".")
    assert rule.needs
    # The same question has the same answer: whatever is random follows from its seeds.
    assert_same(rule.answer(question), chosen)


def test_the_law_sees_an_answer_that_changes(question):
    rng = np.random.default_rng()
    beta = question.ladder.betas[3]
    one, two = (Choice("own", beta * rng.uniform(), (0.0, 1.0), "Found.", "Assumes.", "mV²", ("a",)) for _ in range(2))
    assert_same(one, replace(one))
    with pytest.raises(AssertionError):
        assert_same(one, two)


def test_a_rule_of_ones_own_is_asked_and_drawn(monkeypatch, question):
    monkeypatch.setattr(RULES, "entries", dict(RULES.entries))

    def choose(question):
        beta = float(question.ladder.betas[question.options["rung"]])
        return Choice("own", beta, (beta, beta), "Found.", "Assumes.", "mV²", ("a",))

    def draw(chosen):
        return ladder_figure(question.ladder, [chosen])

    register(Rule("own", choose, "runs nothing", "own.", draw, (RuleOption("--rung", 2, "of the ladder"),)))
    assert [rule.name for rule in rules()][:3] == ["noise_floor", "calibrated", "bootstrap"]
    assert rules()[-1].name == "own"
    chosen = rule_named("own").answer(question)
    assert chosen.beta == question.ladder.betas[2]
    gb.plots.choice(chosen).canvas.draw()
    with pytest.raises(ValueError, match=r"there is no rule 'other' \(there are: noise_floor, calibrated, .*own\)"):
        rule_named("other")
    with pytest.raises(ValueError, match="there is a rule 'bootstrap' already"):
        register(Rule("bootstrap", choose, "", "", draw))
    assert rules()[-1].name == "own"
    # A cell of a notebook may run twice.
    register(rules()[-1])


def test_the_command_offers_what_is_registered(monkeypatch, capsys):
    monkeypatch.setattr(RULES, "entries", dict(RULES.entries))
    option = RuleOption("--rung", 2, "of the ladder, for own", "count", "K")
    register(Rule("own", lambda question: None, "runs nothing at all", "own.", lambda chosen: None, (option,)))  # type: ignore[arg-type]
    assert cli.main(["temperature", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{', '.join(rule.name for rule in rules())} or none" in printed
    assert "--rung K of the ladder, for own" in printed
    assert "own runs nothing at all" in printed


@pytest.mark.parametrize("flag", ["--beta", "--seed", "--held-out"])
def test_an_option_that_the_command_has_already_is_told(monkeypatch, flag):
    monkeypatch.setattr(RULES, "entries", dict(RULES.entries))
    option = RuleOption(flag, 2, "of the ladder, for own")
    register(Rule("own", lambda question: None, "runs nothing", "own.", lambda chosen: None, (option,)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"{flag} of the rule 'own' is an option of `genbayes temperature` already"):
        cli.main(["temperature", "--help"])

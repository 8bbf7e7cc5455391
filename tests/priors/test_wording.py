"""What has changed between two priors, one line for each parameter."""

import numpyro.distributions as dist

import genbayes as gb
from genbayes.priors.wording import changes_told


def test_only_what_has_changed_is_told_one_line_a_parameter() -> None:
    before = gb.Prior(
        {"growth": dist.Uniform(0, 1.5), "delay": dist.LogNormal(0, 0.5), "k": dist.DiscreteUniform(1, 8)}
    )
    now = gb.Prior({"growth": dist.Uniform(0, 2.0), "k": dist.DiscreteUniform(1, 8), "size": dist.Normal(0, 3)})
    assert changes_told(before.describe(), now.describe()).split("\n") == [
        "  growth: Uniform(high = 1.5; low = 0), now Uniform(high = 2; low = 0)",
        "  delay: LogNormal(loc = 0; scale = 0.5), now no parameter",
        "  size: new, Normal(loc = 0; scale = 3)",
    ]
    assert changes_told(before.describe(), before.describe()) == ""


def test_a_change_beyond_the_digits_shown_and_of_the_order_is_told() -> None:
    first, second = (gb.Prior({"a": dist.Normal(mean, 1), "b": dist.Normal(0, 1)}) for mean in (1.0, 1.00001))
    assert "1.00001" in changes_told(first.describe(), second.describe())
    turned = gb.Prior({"b": dist.Normal(0, 1), "a": dist.Normal(1.0, 1)})
    assert "order of parameters: a, b, now b, a" in changes_told(first.describe(), turned.describe())

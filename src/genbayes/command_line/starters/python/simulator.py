"""A population that grows until its food is used up. Put a model of your own in its place."""

import numpy as np

DAYS = 21


def simulate(theta, rng):
    """One run: what is counted on each day, as many numbers as observed.csv has rows.

    Args:
        theta: the parameters, by the names that they have in problem.toml.
        rng: random numbers of numpy; take all from it, and the same seed gives the same run.
    """
    number = theta["start"]
    counts = np.empty(DAYS)
    for day in range(DAYS):
        counts[day] = number
        number += theta["growth"] * number * (1 - number / theta["capacity"])
    # Counts are some 10 % off.
    return counts * rng.lognormal(0.0, 0.1, size=DAYS)

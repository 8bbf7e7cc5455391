"""A bucket of water: rain fills it, evaporation and the river empty it. Deterministic, with the error of a gauge."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import genbayes as gb

RAIN = np.asarray(gb.read_observation(Path(__file__).with_name("measured.csv"), column="rain", index="date"))


def bucket(key, theta):
    """Daily discharge in mm/day of a store with a residence time (days), a runoff share and evaporation (mm/day)."""
    del key
    residence, runoff, evaporation = theta

    def day(stored, rain):
        stored = jnp.maximum(stored + (1 - runoff) * rain - evaporation, 0.0)
        flow = stored / residence
        return stored - flow, flow + runoff * rain

    # The store starts as full as the first days' rain keeps it.
    return jax.lax.scan(day, 20.0, jnp.asarray(RAIN, jnp.float32))[1]


# What the gauge would have read: errors of 8 %.
measured = gb.with_measurement_error(bucket, lambda flow: 0.08 * flow)

"""The neuron: a Hodgkin-Huxley model of one compartment with sodium, potassium, leak and M-type currents, and noise.

The model of Pospischil et al. 2008 as Goncalves et al. 2020 (section "Hodgkin-Huxley model") and Gao, Deistler, Macke
2023 fit it to recordings: eight parameters, exponential Euler steps. Units: ms, mV, mS/cm^2, uA/cm^2, uF/cm^2.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ..priors.prior import Prior
from .arithmetic import clip, exp, one_minus_exp
from .recording import Recording

E_NA = 53.0
E_K = -107.0
# Capacitance 1 uF/cm^2: it does not appear below.
BOUNDS = {
    "g_Na": (0.5, 80.0),
    "g_K": (1e-4, 15.0),
    "g_leak": (1e-4, 0.6),
    "g_M": (1e-4, 0.6),
    "tau_max": (50.0, 3000.0),
    "minus_V_T": (40.0, 90.0),
    "noise": (1e-4, 0.15),
    "minus_E_leak": (35.0, 100.0),
}


def prior() -> Prior:
    """Independent uniform: conductances mS/cm^2, tau_max ms, -V_T and -E_leak mV, noise uA ms^0.5/cm^2."""
    return Prior({name: dist.Uniform(low, high) for name, (low, high) in BOUNDS.items()})


@dataclass(frozen=True, eq=False, repr=False)
class Stimulus:
    """A current-clamp experiment: the injected current, when it is on, and the voltage to start from.

    Args:
        current_density: (steps,) in uA/cm^2.
        dt: time between two steps, ms.
        on: onset of the stimulus, ms after the first step.
        off: its end, ms.
        initial_voltage: mV; the gates start at their steady state at it.

    Raises:
        ValueError: a value that is not finite, a stimulus that begins within 100 steps (the resting
            voltage needs some), lasts less than five or ends outside the recording.
    """

    current_density: np.ndarray
    dt: float
    on: float
    off: float
    initial_voltage: float

    def __post_init__(self) -> None:
        current = np.asarray(self.current_density)
        if current.ndim != 1 or not np.isfinite(current).all():
            raise ValueError(
                f"`current_density` must be finite numbers of shape (steps,), in uA/cm^2, got shape {current.shape}"
                f"{'' if current.ndim != 1 else ' with NaN or infinite entries'}. Interpolate or cut what is missing."
            )
        if not self.dt > 0 or not np.isfinite(self.dt):
            raise ValueError(f"`dt` must be a positive number of ms, got {self.dt!r}.")
        if not 100 * self.dt <= self.on < self.off - 4 * self.dt or self.off > len(current) * self.dt + 1e-6:
            raise ValueError(
                f"the stimulus must begin at least 100 steps after the first, last for more than four and end within "
                f"the {len(current) * self.dt:g} ms of `current_density`, got on={self.on!r}, off={self.off!r} ms. Are "
                f"the times in ms and counted from the first entry?"
            )
        if not np.isfinite(self.initial_voltage):
            raise ValueError(f"`initial_voltage` must be a finite number of mV, got {self.initial_voltage!r}.")

    @classmethod
    def of(cls, recording: Recording) -> "Stimulus":
        """The stimulus of a recording (`current_density`, `dt`, `stimulus_on`, `stimulus_off`, `initial_voltage`)."""
        return cls(
            np.asarray(recording.current_density),
            float(recording.dt),
            float(recording.stimulus_on),
            float(recording.stimulus_off),
            float(recording.initial_voltage),
        )

    @property
    def steps(self) -> int:
        """Number of samples of the voltage, the initial one included."""
        return len(self.current_density)

    def __repr__(self) -> str:
        return (
            f"Stimulus({self.steps} steps of {self.dt:g} ms, on {self.on:g} to {self.off:g} ms, "
            f"from {self.initial_voltage:g} mV)"
        )


class State(NamedTuple):
    """Voltage (mV) and the open fractions of the gates, arrays of one shape."""

    voltage: Array
    m: Array
    h: Array
    n: Array
    p: Array


class Gates(NamedTuple):
    """Steady states of the gates m, h, n, p at a voltage, and the shares of the way there that one step goes."""

    steady: tuple[Array, Array, Array, Array]
    share: tuple[Array, Array, Array, Array]


def start(voltage: Float[Array, "..."], theta: Float[Array, "8 ..."]) -> State:
    """All gates at their steady state."""
    return State(voltage, *gates(voltage, theta, 1.0).steady)


def step(
    state: State,
    theta: Float[Array, "8 ..."],
    current: Float[Array, "..."],
    normal: Float[Array, "..."],
    dt: float,
) -> State:
    """One exponential Euler step; `theta` is (8, ...) with the parameters in the order of `BOUNDS`.

    The gates relax with the rates at the new voltage.
    """
    voltage = next_voltage(state, theta, current, normal, dt)
    at = gates(voltage, theta, dt)
    old = (state.m, state.h, state.n, state.p)
    return State(voltage, *(x + (s - x) * k for x, s, k in zip(old, at.steady, at.share, strict=True)))


def next_voltage(
    state: State,
    theta: Float[Array, "8 ..."],
    current: Float[Array, "..."],
    normal: Float[Array, "..."],
    dt: float,
) -> Float[Array, "..."]:
    """The voltage after a step during which conductances, current and noise are constant."""
    g_na, g_k, g_leak, g_m, _, _, noise, minus_e_leak = theta
    voltage, m, h, n, p = state
    sodium = m * m * m * h * g_na
    potassium = (n * n) * (n * n) * g_k + g_m * p
    conductance = sodium + potassium + g_leak
    drive = sodium * E_NA + potassium * E_K - g_leak * minus_e_leak + current + noise * (normal * dt**-0.5)
    return voltage + (drive / conductance - voltage) * one_minus_exp(dt * conductance)


def gates(voltage: Float[Array, "..."], theta: Float[Array, "8 ..."], dt: float) -> Gates:
    """Steady states and shares of the way for a step of `dt` ms.

    Rates per ms with v = V - V_T and efun(z) = z / (exp(z) - 1): alpha_m = 0.32 efun(-0.25 (v - 13)) / 0.25, beta_m =
    0.28 efun(0.2 (v - 40)) / 0.2, alpha_h = 0.128 exp(-(v - 17) / 18), beta_h = 4 / (1 + exp(-0.2 (v - 40))), alpha_n =
    0.032 efun(-0.2 (v - 15)) / 0.2, beta_n = 0.5 exp(-(v - 10) / 40); p has steady state 1 / (1 + exp(-0.1 (V + 35)))
    and time constant tau_max / (3.3 exp(0.05 (V + 35)) + exp(-0.05 (V + 35))).

    All but alpha_h and p are powers of one exponential, w = exp(v / 40): w^10 = exp(v / 4), w^8 = exp(v / 5).
    """
    tau_max, minus_v_t = theta[4], theta[5]
    # Beyond these voltages no neuron goes, and powers of w would leave the range of float32.
    v = clip(voltage + minus_v_t, -150.0, 250.0)
    inverse_w = exp(v * (-1 / 40))
    inverse_w2 = inverse_w * inverse_w
    inverse_w8 = (inverse_w2 * inverse_w2) * (inverse_w2 * inverse_w2)
    e40 = inverse_w8 * float(np.exp(40 / 5))  # exp(-0.2 (v - 40))
    alpha_m = 1.28 * _efun(-0.25 * (v - 13), inverse_w8 * inverse_w2 * float(np.exp(13 / 4)))
    beta_m = 1.4 * e40 * _efun(-0.2 * (v - 40), e40)  # efun(z) = exp(-z) efun(-z)
    alpha_h = exp((v - 17) * (-1 / 18)) * 0.128
    beta_h = 4 / (1 + e40)
    alpha_n = 0.16 * _efun(-0.2 * (v - 15), inverse_w8 * float(np.exp(15 / 5)))
    beta_n = inverse_w * float(0.5 * np.exp(10 / 40))
    q = exp(clip(voltage + 35, -150.0, 150.0) * 0.05)
    steady_p = (q * q) / (1 + q * q)
    sums = (alpha_m + beta_m, alpha_h + beta_h, alpha_n + beta_n)
    steady = (alpha_m / sums[0], alpha_h / sums[1], alpha_n / sums[2], steady_p)
    steps = (dt * sums[0], dt * sums[1], dt * sums[2], dt / tau_max * (3.3 * q + 1 / q))
    m, h, n, p = (one_minus_exp(x) for x in steps)
    return Gates(steady, (m, h, n, p))


def _efun(z: Float[Array, "..."], exp_z: Float[Array, "..."]) -> Float[Array, "..."]:
    """The quotient z / (exp(z) - 1), by its series where exp(z) - 1 would cancel."""
    # The series' first missing term is z^6 / 30240: 2e-8 for float32, where the quotient has an error of 1e-6 / |z|
    # (exp_z is a tenth power); for float64 both are below 1e-14.
    small = jnp.abs(z) < (0.2 if z.dtype == jnp.float32 else 0.01)
    z2 = z * z
    series = 1 - z * 0.5 + z2 * (1 / 12) - z2 * z2 * (1 / 720)
    return jnp.where(small, series, z / (jnp.where(small, 2, exp_z) - 1))

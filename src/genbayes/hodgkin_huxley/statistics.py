"""Seven summary statistics of a voltage trace: offline from a whole trace, and while simulating from blocks of it."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

STATISTICS = (
    "spike_count",
    "resting_voltage",
    "resting_voltage_std",
    "mean_voltage",
    "variance",
    "skewness",
    "kurtosis",
)
# A spike is an upward crossing to a peak above this voltage (mV).
SPIKE_THRESHOLD = -10.0
# Peaks closer to the one before than this (ms) belong to one spike with a jagged top.
SPIKE_DISTANCE = 0.5


class Windows(NamedTuple):
    """Half-open ranges of samples: before the onset, the last tenth of that, and within the stimulus."""

    rest: tuple[int, int]
    tail: tuple[int, int]
    stimulus: tuple[int, int]

    @classmethod
    def of(cls, dt: float, on: float, off: float) -> "Windows":
        """Rest is t < on and the stimulus on < t < off, with t = 0, dt, 2 dt, ..."""
        # Times are counted in samples; a time that is a whole number of them but for rounding counts as whole.
        onset, end = (round(t / dt, 6) for t in (on, off))
        rest = int(np.ceil(onset))
        return cls((0, rest), (int(round(0.9 * onset, 6)), rest), (int(np.floor(onset)) + 1, int(np.ceil(end))))


def spike_distance(dt: float) -> int:
    """The least number of samples between two peaks that count as two spikes."""
    return int(np.ceil(round(SPIKE_DISTANCE / dt, 6)))


def summary_statistics(
    voltage: Float[np.ndarray, "*n steps"], *, dt: float, on: float, off: float
) -> Float[np.ndarray, "*n 7"]:
    """The statistics `STATISTICS` of recorded or simulated traces, in float64.

    Variance, skewness and kurtosis are the second central moment and the third and fourth over the third and fourth
    power of its root (a normal distribution has kurtosis 3); NaN where the voltage does not move.

    Args:
        voltage: mV, (steps,) or (n, steps), the first sample at time 0.
        dt: ms between two samples.
        on: onset of the stimulus, ms.
        off: end of the stimulus, ms.

    Raises:
        ValueError: the trace ends before the stimulus.

    Example:
        >>> summary_statistics(recording.voltage, dt=0.02, on=205.0, off=1205.0)  # (7,)
    """
    traces = np.asarray(voltage, np.float64)
    windows = Windows.of(dt, on, off)
    if traces.shape[-1] < windows.stimulus[1]:
        raise ValueError(
            f"`voltage` has {traces.shape[-1]} samples of {dt:g} ms, but the stimulus ends at {off:g} ms, after sample "
            f"{windows.stimulus[1]}. Give the whole trace, time along the last axis."
        )
    rest, tail, during = (traces[..., slice(*window)] for window in windows)
    centred = during - during.mean(axis=-1, keepdims=True)
    std = during.std(axis=-1)
    with np.errstate(invalid="ignore"):
        higher = [np.mean(centred**power, axis=-1) / std**power for power in (3, 4)]
    spikes = np.array(
        [_count_spikes(trace, windows.stimulus, spike_distance(dt)) for trace in traces.reshape(-1, traces.shape[-1])]
    )
    columns = [spikes.reshape(std.shape), rest.mean(axis=-1), tail.std(axis=-1), during.mean(axis=-1), std**2, *higher]
    return np.stack(columns, axis=-1)


def _count_spikes(trace: Float[np.ndarray, " steps"], window: tuple[int, int], distance: int) -> int:
    """Peaks above the threshold, reached by a rise above it, at least `distance` samples after the peak before.

    A peak is dated by the sample before it, which must itself lie above the threshold and within the window.
    """
    before, top, after = trace[:-2], trace[1:-1], trace[2:]
    found = np.flatnonzero((before > SPIKE_THRESHOLD) & (top >= before) & (after < top))
    found = found[(found >= window[0]) & (found < window[1])]
    return int(len(found) > 0) + int(np.sum(np.diff(found) >= distance))


class Moments(NamedTuple):
    """Count, mean and sums of the second, third and fourth powers of deviations from it, over the samples so far.

    The mean is relative to a reference, the first sample: in float32 a mean near -80 mV could not be told from one
    0.000004 mV away, and silent traces have variances below 0.00001 mV^2.
    """

    count: Array
    reference: Array
    mean: Array
    m2: Array
    m3: Array
    m4: Array

    @classmethod
    def none(cls, like: Float[Array, "..."]) -> "Moments":
        """Of no samples."""
        zero = jnp.zeros_like(like)
        return cls(jnp.zeros((), like.dtype), zero, zero, zero, zero, zero)

    def add(self, block: Float[Array, "block ..."], inside: Bool[Array, " block"]) -> "Moments":
        """Take in the samples of a block (time first) that are marked, the first one always being so.

        Exact pairwise formulas (Chan, Golub, LeVeque 1983; Pebay 2008, equations 2.1 and 3.1): within a block the
        moments are centred at its own mean, so nothing cancels, and the number of roundings is that of blocks.
        """
        weight = inside.astype(block.dtype)
        column = weight.reshape(-1, *(1,) * (block.ndim - 1))
        count = weight.sum()
        reference = jnp.where(self.count == 0, block[0], self.reference)
        relative = block - reference[None]
        mean = (relative * column).sum(0) / count
        centred = (relative - mean[None]) * column
        square = centred * centred
        m2, m3, m4 = square.sum(0), (square * centred).sum(0), (square * square).sum(0)
        return self._replace(reference=reference).merge(Moments(count, reference, mean, m2, m3, m4))

    def merge(self, other: "Moments") -> "Moments":
        """Moments of the samples of both."""
        count = self.count + other.count
        a, b = self.count / count, other.count / count  # shares; a + b = 1
        delta = other.mean - self.mean + (other.reference - self.reference)
        delta2 = delta * delta
        return Moments(
            count,
            self.reference,
            self.mean + delta * b,
            self.m2 + other.m2 + delta2 * (count * a * b),
            self.m3 + other.m3 + delta * delta2 * (count * a * b * (a - b)) + 3 * delta * (a * other.m2 - b * self.m2),
            self.m4
            + other.m4
            + delta2 * delta2 * (count * a * b * (a * a - a * b + b * b))
            + 6 * delta2 * (a * a * other.m2 + b * b * self.m2)
            + 4 * delta * (a * other.m3 - b * self.m3),
        )

    def absolute_mean(self) -> Float[Array, "..."]:
        """Mean, no longer relative to the reference."""
        return self.reference + self.mean

    def variance(self) -> Float[Array, "..."]:
        """Second central moment."""
        return self.m2 / self.count

    def skewness(self) -> Float[Array, "..."]:
        """Third central moment over the third power of the standard deviation."""
        # Moments are normalised by ratios of sums: powers of a small variance would leave the range of float32.
        return self.m3 / self.m2 * jnp.sqrt(self.count / self.m2)

    def kurtosis(self) -> Float[Array, "..."]:
        """Fourth central moment over the squared variance."""
        return self.m4 / self.m2 * (self.count / self.m2)


class Spikes(NamedTuple):
    """Spikes counted so far, the sample of the last peak, and the voltage of the last sample but one."""

    count: Array
    last: Array
    earlier: Array

    @classmethod
    def none(cls, voltage: Float[Array, "..."], distance: int) -> "Spikes":
        """None so far, the last peak long ago, before the first sample and its voltage."""
        zero = jnp.zeros(voltage.shape, jnp.int32)
        return cls(zero, zero - distance, jnp.full_like(voltage, SPIKE_THRESHOLD))

    def add(
        self,
        before: Float[Array, "..."],
        now: Float[Array, "..."],
        sample: Int[Array, ""],
        window: tuple[int, int],
        distance: int,
    ) -> "Spikes":
        """Take in the voltage `now` of a sample, given that of the sample before."""
        first = sample - 2  # the sample by which a peak is dated
        counts = (first >= window[0]) & (first < window[1])
        peak = (self.earlier > SPIKE_THRESHOLD) & (before >= self.earlier) & (now < before) & counts
        new = peak & (first - self.last >= distance)
        return type(self)(self.count + new.astype(jnp.int32), jnp.where(peak, first, self.last), before)

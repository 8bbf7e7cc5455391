"""The recordings of `genbayes hodgkin-huxley`, and the one stimulus that is simulated for all of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import hodgkin_huxley as hh
from ..command_line.folder import Folder
from ..runtime.files import replaced_file

# The cell whose stimulus served all recordings in the published work.
PUBLISHED_CELL = "518290966"
# Onsets and ends of stimuli that differ by less than this (ms) count as the same: more than one sample of rounding,
# and no more than a spike lasts.
SAME_TIME = 1.0
# What a file or an observation may cause, as opposed to a mistake in the program.
FAILURES = (ValueError, OSError, RuntimeError, ImportError)


def read_observed(folder: Path, failures: list[str]) -> list[tuple[hh.Recording, np.ndarray]]:
    """Recordings with their statistics, sorted by name; a file that cannot be used is noted among the failures.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no recording that can be used.
    """
    observed = []
    for file in hh.recording_files(folder):
        try:
            recordings = hh.read_recordings(file)
        except FAILURES as error:
            failures.append(explained(file.name, error))
            continue
        for recording in recordings:
            try:
                observed.append((recording, hh.observation(recording)))
            except FAILURES as error:
                failures.append(explained(recording.name, error))
    if not observed:
        raise ValueError(f"no recording in {folder} can be used: {'; '.join(failures)}")
    return sorted(observed, key=lambda pair: pair[0].name)


def choose_stimulus(recordings: Sequence[hh.Recording], name: str | None) -> hh.Recording:
    """The recording whose current is simulated: the named one, else that of the published work, else the first.

    Raises:
        ValueError: no recording has the name, or several have it.
    """
    wanted = PUBLISHED_CELL if name is None else name
    matching = [recording for recording in recordings if wanted in recording.name]
    exact = [recording for recording in matching if recording.name == wanted]
    if name is None:
        return (matching or list(recordings))[0]
    if len(exact or matching) != 1:
        names = ", ".join(recording.name for recording in recordings)
        problem = "names more than one recording" if matching else "is in the name of no recording"
        raise ValueError(f"--stimulus {name} {problem}. Give the whole name of one of: {names}.")
    return (exact or matching)[0]


def check_windows(given: hh.Recording, recordings: Sequence[hh.Recording]) -> None:
    """One time course of the current serves all recordings.

    Raises:
        ValueError: a recording's stimulus is on at other times than the given one's.
    """
    window = (given.stimulus_on, given.stimulus_off)
    other = [
        f"{recording.name} ({recording.stimulus_on:g} to {recording.stimulus_off:g} ms)"
        for recording in recordings
        if np.max(np.abs(np.subtract((recording.stimulus_on, recording.stimulus_off), window))) > SAME_TIME
    ]
    if other:
        raise ValueError(
            f"one stimulus is simulated for all recordings, that of {given.name}, on from {window[0]:g} to "
            f"{window[1]:g} ms, but it is on at other times in {', '.join(other)}. Put recordings with the same times "
            "into a folder of their own, and run each folder with an --out of its own."
        )


def claim(folder: Folder, stimulus: hh.Stimulus) -> None:
    """Writes the stimulus beside the simulations, whose store knows a simulator by its name alone.

    Raises:
        ValueError: what is in the folder was made with another stimulus.
    """
    file = folder.path / "stimulus.npz"
    values = {
        "current_density": np.asarray(stimulus.current_density, np.float32),
        **{name: np.float64(getattr(stimulus, name)) for name in ("dt", "on", "off", "initial_voltage")},
    }
    if file.exists():
        with np.load(file) as stored:
            same = all(name in stored and np.array_equal(stored[name], value) for name, value in values.items())
        if not same:
            raise ValueError(
                f"{folder.path} holds simulations with another stimulus than the one of these recordings. Name another "
                "folder by --out, choose the former stimulus by --stimulus, or remove that folder."
            )
        return
    folder.path.mkdir(parents=True, exist_ok=True)
    with replaced_file(file) as beside, beside.open("wb") as stream:
        np.savez_compressed(stream, **values)


def explained(name: str, error: BaseException) -> str:
    """What went wrong where, in one line."""
    message = " ".join(str(error).split()) or type(error).__name__
    return message if message.startswith(name) else f"{name}: {message}"

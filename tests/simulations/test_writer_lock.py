"""One writer for a store."""

import functools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from genbayes.priors.prior import Prior
from genbayes.simulations import writer_lock
from genbayes.simulations.rows import Simulations
from genbayes.simulations.running import simulate
from genbayes.simulations.writer_lock import StoreInUse, lock_path, only_writer

PRIOR = Prior.uniform(0, 1, names=["rate"])
run = functools.partial(simulate, lambda theta, rng: [theta[0], rng.normal()], PRIOR, 6, seed=1, progress=False)
OTHER = {"pid": 17, "host": "elsewhere", "since": "2026-01-01 00:00:00", "mark": "x"}


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path):
    store = tmp_path / "runs.zarr"
    refused = f"process {os.getpid()} on {socket.gethostname()} has been writing to .*runs.zarr since 20"
    (tmp_path / "link").symlink_to(tmp_path)

    def simulator(theta, rng):
        for path in (store, tmp_path / "link" / "runs.zarr"):
            with pytest.raises(StoreInUse, match=refused):
                run(store=path)
        return [theta[0], rng.normal()]

    # The simulator itself tries to write to its own store.
    made = simulate(simulator, PRIOR, 6, seed=1, store=store, progress=False)
    assert made.ok.all()
    assert [path.name for path in tmp_path.iterdir() if path.name != "link"] == ["runs.zarr"]
    assert np.array_equal(Simulations.open(store).x, run().x)


WRITER = """
import sys, time
from genbayes.simulations.writer_lock import only_writer
with only_writer(sys.argv[1]):
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_writer_that_was_killed_leaves_the_store_free(tmp_path):
    store = tmp_path / "runs.zarr"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, str(store)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(StoreInUse, match=f"process {writer.pid} on "):
            run(store=store)
        writer.kill()
        writer.wait()
    assert json.loads(lock_path(store).read_text())["pid"] == writer.pid
    assert run(store=store).ok.all()
    assert not lock_path(store).exists()


def test_two_threads_never_write_at_once(tmp_path):
    inside, most, refused = [0], [0], [0]

    def write():
        for _ in range(20):
            try:
                with only_writer(tmp_path / "runs.zarr"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0.001)
                    inside[0] -= 1
            except StoreInUse:
                refused[0] += 1
                time.sleep(0.001)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1
    assert refused[0] < 80, "somebody came in"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(writer_lock, "WATCH_SECONDS", 0.4)
    monkeypatch.setattr(writer_lock, "BEAT_SECONDS", 0.05)


def test_a_writer_on_another_machine_is_believed_while_it_gives_signs_of_life(tmp_path, quick, capsys):
    store = tmp_path / "runs.zarr"
    lock_path(store).write_text(json.dumps(OTHER))
    stop = threading.Event()

    def beat():
        while not stop.wait(0.05):
            os.utime(lock_path(store))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(StoreInUse, match="process 17 on elsewhere has been writing .* since 2026-01-01"):
            run(store=store)
    finally:
        stop.set()
        thread.join()
    assert "names a writer on another machine: looking for 0.4 s whether it is alive" in capsys.readouterr().err
    # Now it is silent: killed, on a machine that has not come back.
    assert run(store=store).ok.all()


def test_a_file_system_without_locks(tmp_path, quick, monkeypatch):
    monkeypatch.setattr(writer_lock, "fcntl", None)
    store = tmp_path / "runs.zarr"
    with only_writer(store), pytest.raises(StoreInUse, match=f"process {os.getpid()} on"):
        run(store=store)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    lock_path(store).write_text(json.dumps(OTHER | {"host": socket.gethostname(), "pid": ended.pid}))
    assert run(store=store).ok.all()


def test_where_nothing_may_be_written_that_is_said(tmp_path, monkeypatch):
    store = tmp_path / "runs.zarr"
    made = run(store=store)
    opened = os.open

    def refuse(path, flags, *arguments, **options):
        if flags & os.O_CREAT and str(path).startswith(str(tmp_path)):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *arguments, **options)

    # Permissions do not bind the user of a container.
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError, match=r"`store`: .*runs.zarr.lock may not be written to .*Simulations.open"):
        run(store=store)
    assert np.array_equal(Simulations.open(store).x, made.x)


def test_an_empty_folder_becomes_a_store(tmp_path):
    (tmp_path / "runs.zarr").mkdir()
    assert run(store=tmp_path / "runs.zarr").ok.all()
    (tmp_path / "saved").mkdir()
    run().save(tmp_path / "saved")
    with pytest.raises(FileExistsError, match="saved exists already"):
        run().save(tmp_path / "saved")


def test_the_folder_above_a_store_is_made(tmp_path):
    assert run(store=Path(tmp_path / "new" / "folder" / "runs.zarr")).ok.all()

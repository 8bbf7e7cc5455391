"""Every test runs with shapes checked against the annotations and with implicit rank promotion forbidden."""

import importlib
import os
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
# Test processes run side by side, one to a core: threads of torch and BLAS would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Programs that one worker or subprocess has compiled are read by the others, and by the next run.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")

# Tests compile many programs and run each briefly. Without LLVM's optimisation and by the older emitters a program of
# the sampler compiles in a quarter of the time, and takes three times as long to run.
# jaxlib 0.11 has no older emitters, and ends the process at a flag that it does not know.
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_backend_optimization_level=0",
        *(["--xla_cpu_use_fusion_emitters=false"] if version("jaxlib").startswith("0.10.") else []),
        os.environ.get("XLA_FLAGS", ""),
    ]
).strip()

import jax
import pytest
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_rank_promotion", "raise")
# All modules but those whose functions are sent to worker processes by value: a checked function cannot be pickled.
SOURCE = Path(__file__).parents[1] / "src" / "genbayes"
MODULES = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts) for path in SOURCE.rglob("*.py")}
SENT = ("worker", "local_worker", "spawned", "overdue", "run_limits", "templates", "program_outputs")
SENT += ("program_processes", "program_runs")
UNCHECKED = {*(f"genbayes.simulations.{name}" for name in SENT), "genbayes.__main__", "genbayes.__init__"}
UNCHECKED |= {"genbayes.runtime.named_values"}
hook = install_import_hook(sorted(MODULES - UNCHECKED), "beartype.beartype")
with hook:
    import genbayes
    import genbayes.runtime.compiling as compiling

    # Before the modules that compile by it are imported; but training runs longer than it compiles.
    importlib.import_module("genbayes.learning.training")
    compiling.OPTIONS["xla_backend_optimization_level"] = 0

    # All that is public now: the package imports a name when it is first used.
    for name in genbayes.__all__:
        getattr(genbayes, name)

# Every compiled program keeps pieces of memory mapped, of which Linux allows a process some 65,000.
_MOST_MAPPED = 12_000


@pytest.fixture(autouse=True, scope="module")
def few_programs_at_a_time():
    """Lets go of compiled programs between files once there are many; most come back from the cache on disk."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > _MOST_MAPPED:
        jax.clear_caches()

"""Lets go of compiled programs before a process has no memory maps left for another one."""

from pathlib import Path

import jax

# Every program keeps dozens of pieces of memory mapped. Linux allows a process some 65,000; beyond them LLVM cannot
# allocate memory, which ends the process.
_MAPS = Path("/proc/self/maps")
_MOST_MAPS = Path("/proc/sys/vm/max_map_count")
_SHARE = 0.6
# Programs after which maps are counted again, which takes milliseconds. A large one may keep a thousand pieces.
_PROGRAMS_BETWEEN = 20
_compiled = 0


def _listen(event: str, duration_secs: float, **_: object) -> None:
    global _compiled
    _compiled += event == "/jax/core/compile/backend_compile_duration"


jax.monitoring.register_event_duration_secs_listener(_listen)


def make_room() -> None:
    """Lets go of all compiled programs if the process has used most of its memory maps; what is needed comes back.

    It is called where a long piece of work begins, outside of any program.
    """
    global _compiled
    if _compiled < _PROGRAMS_BETWEEN:
        return
    _compiled = 0
    if _MAPS.exists() and _MOST_MAPS.exists():
        mapped, most = _MAPS.read_bytes().count(b"\n"), int(_MOST_MAPS.read_text())
        if mapped > _SHARE * most:
            jax.clear_caches()

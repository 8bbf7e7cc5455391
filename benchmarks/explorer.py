"""Pictures of the explorer while a point of the demo's observation is dragged by the mouse.

    python benchmarks/explorer.py [demo/report.html]     after `genbayes demo`; needs Chromium and playwright

Besides pictures and frames a second, which depend on what else the machine does, it prints the processor time of a
picture on the page's main thread and in its worker: a machine with two free cores shows 1000 over the larger one.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

REST = "document.getElementById('explorer').explorer?.atRest"
PLACE = """(j) => {
  const { explorer } = document.getElementById("explorer"), mark = explorer.marks()[j];
  const box = explorer.observed.getBoundingClientRect();
  return [box.x + explorer.scale.x(mark.at), box.y + explorer.scale.y(mark.value)];
}"""
BEGIN = """() => {
  const { dataset } = document.getElementById("explorer");
  const drag = { start: performance.now(), pictures: Number(dataset.pictures), frames: 0, going: true };
  const frame = () => { drag.frames++; if (drag.going) requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  globalThis.drag = drag;
}"""
END = """() => {
  drag.going = false;
  const pictures = Number(document.getElementById("explorer").dataset.pictures) - drag.pictures;
  return [pictures, drag.frames, (performance.now() - drag.start) / 1000];
}"""


def processor_seconds() -> dict[str, float]:
    """Of this process's renderers, thread by thread, since they began."""
    seconds = {"main thread": 0.0, "worker": 0.0}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "--type=renderer" not in (process / "cmdline").read_text() or os.getpid() not in ancestors(process.name):
                continue
            for task in (process / "task").iterdir():
                is_worker = (task / "comm").read_text().startswith("DedicatedWorker")
                if is_worker or task.name == process.name:
                    after_name = (task / "stat").read_text().rpartition(")")[2].split()
                    used = (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
                    seconds["worker" if is_worker else "main thread"] += used
        except OSError:  # it has ended meanwhile
            continue
    return seconds


def ancestors(process: str) -> list[int]:
    """The numbers of a process's parents, up to the first of all."""
    found: list[int] = []
    number = int(process)
    while number > 1:
        number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(number)
    return found


def drag(page: Any) -> None:
    """Moves a point up and down for some seconds, as a hand does, and prints what was shown."""
    x, y = page.evaluate(PLACE, 5)
    page.mouse.move(x, y)
    page.mouse.down()
    before = processor_seconds()
    page.evaluate(BEGIN)
    for _ in range(3):
        page.mouse.move(x, y - 40, steps=40)
        page.mouse.move(x, y, steps=40)
    pictures, frames, seconds = page.evaluate(END)
    page.mouse.up()
    used = {name: 1000 * (value - before[name]) / pictures for name, value in processor_seconds().items()}
    print(f"{pictures / seconds:.0f} pictures and {frames / seconds:.0f} frames a second for {seconds:.1f} s; ", end="")
    print(", ".join(f"{name} {value:.1f} ms of processor time a picture" for name, value in used.items()))


def main() -> None:
    """Drags four times."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "demo/report.html").resolve()
    if not path.exists():
        raise SystemExit(f"{path} is missing: genbayes demo writes it.")
    with sync_playwright() as driver:
        options = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox", "--disable-gpu"]}
        browser = driver.chromium.launch(**options)
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        page.goto(path.as_uri())
        for _ in range(4):
            page.wait_for_function(REST, timeout=60_000)
            drag(page)
        browser.close()


if __name__ == "__main__":
    main()

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
# A mouse tells its place at least once a frame. Playwright's own mouse waits for an answer to each of its moves, and so
# would bound the pictures itself, at 54 a second.
DRAG = """([x, y, seconds]) => new Promise((done) => {
  const root = document.getElementById("explorer"), { observed } = root.explorer;
  const pictures = () => Number(root.dataset.pictures);
  const tell = (kind, to) => observed.dispatchEvent(
    new PointerEvent(kind, { pointerId: 1, clientX: x, clientY: to, bubbles: true }));
  observed.setPointerCapture = () => {};
  tell("pointerdown", y);
  const [start, before] = [performance.now(), pictures()];
  let frames = 0;
  const frame = () => {
    const now = (performance.now() - start) / 1000;
    if (now >= seconds) {
      tell("pointerup", y);
      done([pictures() - before, frames, now]);
      return;
    }
    frames++;
    // Between two frames, as the events of a mouse.
    setTimeout(() => tell("pointermove", y - 20 + 20 * Math.cos(3 * now)), 0);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})"""


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


def drag(page: Any, seconds: float) -> None:
    """Moves a point up and down, as a hand does, and prints what was shown."""
    before = processor_seconds()
    pictures, frames, seconds = page.evaluate(DRAG, [*page.evaluate(PLACE, 5), seconds])
    used = {name: 1000 * (value - before[name]) / pictures for name, value in processor_seconds().items()}
    print(f"{pictures / seconds:.1f} pictures and {frames / seconds:.1f} frames a second for {seconds:.1f} s; ", end="")
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
            drag(page, 5.0)
        browser.close()


if __name__ == "__main__":
    main()

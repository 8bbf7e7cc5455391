"""What a start costs: processor seconds of the help and of imports, each in a fresh process, least of several.

python benchmarks/start.py --out benchmarks/start.md
"""

import argparse
import resource
import subprocess
import sys
from pathlib import Path

STARTS = {
    "python": ["-c", ""],
    "import jax, equinox": ["-c", "import jax, equinox"],
    "import genbayes": ["-c", "import genbayes"],
    "import genbayes and use simulate, fit_cost and GibbsPosterior": [
        "-c",
        "import genbayes as gb; gb.simulate; gb.fit_cost; gb.GibbsPosterior",
    ],
    "genbayes --help": ["-m", "genbayes", "--help"],
    "genbayes fit --help": ["-m", "genbayes", "fit", "--help"],
}


def processor_seconds(arguments: list[str]) -> float:
    """User and system time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each, one after the other in turns")
    parser.add_argument("--out", type=Path, help="file for the table")
    options = parser.parse_args()
    seconds = {name: [] for name in STARTS}
    for _ in range(options.runs):
        for name, arguments in STARTS.items():
            seconds[name].append(processor_seconds(arguments))
    base = min(seconds["import jax, equinox"])
    lines = ["| start | processor seconds | of `import jax, equinox` |", "|---|---|---|"]
    lines += [f"| `{name}` | {min(found):.2f} | {min(found) / base:.2f} |" for name, found in seconds.items()]
    command = "python benchmarks/start.py --out benchmarks/start.md"
    text = "\n".join(["# What a start costs", "", f"Least of {options.runs} runs, by `{command}`.", "", *lines, ""])
    print(text)
    if options.out is not None:
        options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()

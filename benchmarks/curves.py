"""Learning curves of a stage as one SVG: its loss by task, averaged over windows.

python -m benchmarks.curves runs/debug/refer recipes/debug-curves.svg [--window 25]
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from uniref.core import html


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", type=Path, help="folder of a stage in a run")
    parser.add_argument("out", type=Path)
    parser.add_argument("--window", type=int, default=25, help="steps that are averaged")
    options = parser.parse_args()
    # losses by task and window
    windows: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in (options.stage / "metrics.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        sums: dict[str, float] = defaultdict(float)
        for key, value in record.get("terms", {}).items():
            task, slash, _ = key.partition("/")
            if slash:
                sums[task] += value
        for task, value in sums.items():
            windows[task][-(-record["step"] // options.window) * options.window].append(value)
    series = {
        task: [(step, float(np.mean(values))) for step, values in sorted(steps.items())]
        for task, steps in sorted(windows.items())
    }
    # the chart of the training report, as a file of its own
    chart = html.Curves.of(f"{options.stage.name}: loss by task", series)
    assert chart is not None
    drawn = re.search(r"<svg.*?</svg>", html.render("curves.svg", chart=chart), re.DOTALL)
    assert drawn
    text = drawn[0].replace(
        "<svg ",
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="11" style="background:#fff" ',
        1,
    )
    options.out.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()

"""``./run bench jobs``: mean time of a scenario's training jobs through MLNet against the plain sharded server, pairs in turn."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any, Dict, List

from . import stopping
from .evaluate import FAULTS, MLNET, PLAIN, Evaluation, prepare, say_stopped
from .ownership import handing_back
from .scenario import load
from .terminal import Terminal, table

LIMIT = 0.5  # of plain's mean time to finish


def rows_of(pairs: List[Dict[str, Dict[str, Any]]]) -> List[Dict[str, Any]]:
    """One row per job and one for the mean, medians over the pairs."""
    rows = []
    names = [j["name"][: -len("-plain")] for j in pairs[0]["plain"]["jobs"]]
    for index, name in enumerate([*names, "mean"]):
        def seconds(mode: str, at: int = index, mean: bool = name == "mean") -> List[float]:
            return [p[mode]["meanSeconds"] if mean else p[mode]["jobs"][at]["seconds"] for p in pairs]

        ratios = [ours / peer for ours, peer in zip(seconds("mlnet"), seconds("plain"))]
        rows.append({
            "row": name, "ours": statistics.median(seconds("mlnet")), "peer": statistics.median(seconds("plain")), "ratio": statistics.median(ratios),
            "lowestRatio": min(ratios), "highestRatio": max(ratios)})
    return rows


def main(arguments: List[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run bench jobs", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=3, help="pairs, run in turn (default 3)")
    parser.add_argument("scenario", type=Path, nargs="?", default=Path(__file__).parents[1] / "scenarios" / "demo.json")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error(f"--runs {options.runs}: must be at least 1")
    terminal = Terminal()
    directory = options.state / "evaluate"
    stopping.raise_when_told()
    try:
        scenario = load(options.scenario)
        prepare(options.state, directory)
        evaluation = Evaluation(scenario, options.state, directory, terminal)
        try:
            evaluation.start()
            pairs = [{mode.name: evaluation.run(mode) for mode in (PLAIN, MLNET)} for _ in range(options.runs)]
        finally:
            evaluation.stop()
    except stopping.Stopped as stopped:
        return say_stopped(stopped)
    except FAULTS as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    rows = rows_of(pairs)
    path = options.state / "bench" / "jobs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"scenario": scenario.name, "rows": rows, "cpuBusyShare": [{m: p[m]["cpuBusyShare"] for m in p} for p in pairs]}, indent=1))
    terminal.show("\n" + table(["job", "MLNet s", "plain s", "ratio", "lowest", "highest"], [
        [r["row"], *(f"{r[k]:.2f}" for k in ("ours", "peer", "ratio", "lowestRatio", "highestRatio"))] for r in rows]) + "\n")
    mean = rows[-1]
    print(json.dumps({
        "bench": "jobs", "ours": mean["ours"], "peer": mean["peer"], "peerName": "server sharded over all workers, unmarked, same agents", "ratio": mean["ratio"],
        "unit": "s", "better": "lower", "runs": options.runs, "spread": mean["highestRatio"] - mean["lowestRatio"], "worst": mean["ratio"] / LIMIT, "rows": str(path)}))
    return 0


if __name__ == "__main__":
    sys.exit(handing_back(main))

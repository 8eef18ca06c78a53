"""``./run demo``: two training jobs on an emulated fat-tree, first plain, then through MLNet, then what came of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List, Optional

from . import stopping
from .evaluate import FAULTS, MLNET, PLAIN, Evaluation, prepare, say_stopped
from .ownership import handing_back
from .scenario import Scenario, load
from .terminal import Terminal, bar, table

HISTORY_QUERY = """select job, role, dscp_sent as dscp, count(distinct (source_host, destination_host)) as pairs,
       pg_size_pretty(sum(octets)) as sent
from mlnet.v_flow
where direction = 'egress' and job_id in ({jobs})
group by job, role, dscp_sent order by sum(octets) desc"""


# All of it ran, but a figure missed its limit.
CHECK_FAILED = 3


def checks(plain: Dict[str, Any], mlnet: Dict[str, Any]) -> List[Dict[str, Any]]:
    """What the demo claims, each with the figure seen and the limit it is held against."""
    found: List[Dict[str, Any]] = []

    def check(name: str, value: Optional[float], limit: float, at_most: bool) -> None:
        holds = value is not None and (value <= limit if at_most else value >= limit)
        found.append({"check": name, "value": value, "limit": limit, "atMost": at_most, "holds": holds})

    jobs = [*plain["jobs"], *mlnet["jobs"]]
    check("distinct final weights per job and mode", max(len(j["weightHashes"]) for j in jobs), 1, True)
    trained = [(p["testAccuracy"], m["testAccuracy"]) for p, m in zip(plain["jobs"], mlnet["jobs"]) if p["testAccuracy"] is not None]
    if trained:
        check("lowest test accuracy", min(min(pair) for pair in trained), 0.78, False)
        check("largest difference of accuracy between modes", max(abs(p - m) for p, m in trained), 0.02, True)
    check("mean time to finish, MLNet over plain", mlnet["meanSeconds"] / plain["meanSeconds"], 0.5, True)
    if plain["bytes"]["core"]:
        check("bytes between pods, MLNet over plain", mlnet["bytes"]["core"] / plain["bytes"]["core"], 0.35, True)
    check("plain makespan over its longest link's time plus compute", plain["makespanOverLongestLink"], 2.5, True)
    for mode, result in (("plain", plain), ("MLNet", mlnet)):
        history = result["history"]
        check(f"{mode}: history against sockets, largest deviation", max((abs(j["ratio"] - 1) for j in history["jobs"]), default=None), 0.02, True)
        check(f"{mode}: bytes between hosts without a job", history["shareWithoutJob"], 0.01, True)
    check("marked bytes that arrived as sent", mlnet["history"]["shareArrivedAsSent"], 0.99, False)
    return found


def summary(scenario: Scenario, plain: Dict[str, Any], mlnet: Dict[str, Any], held: List[Dict[str, Any]]) -> str:
    """The figures as a person reads them."""
    rows = []
    for p, m in zip(plain["jobs"], mlnet["jobs"]):
        rows.append([p["name"][len(scenario.name) + 1 : -len("-plain")], str(p["rounds"]), f"{p['messageBytes'] / 1e6:.2f} MB", f"{p['boundSeconds']:.1f} s",
                     f"{p['seconds']:.1f} s", f"{m['seconds']:.1f} s", f"{m['seconds'] / p['seconds']:.2f}", *("" if j["testAccuracy"] is None else f"{j['testAccuracy']:.3f}" for j in (p, m))])
    rows.append(["mean", "", "", "", f"{plain['meanSeconds']:.1f} s", f"{mlnet['meanSeconds']:.1f} s", f"{mlnet['meanSeconds'] / plain['meanSeconds']:.2f}", "", ""])
    lines = [
        "", table(["job", "rounds", "gradient", "bound", "plain", "MLNet", "ratio", "accuracy plain", "MLNet"], rows),
        "  (bound: what the job's traffic needs at raw link rates, with the fabric to itself)", ""]
    longest = max(plain["meanSeconds"], mlnet["meanSeconds"])
    for label, result in (("plain", plain), ("MLNet", mlnet)):
        lines.append(f"  mean time to finish  {label:<6} {bar(result['meanSeconds'], longest)} {result['meanSeconds']:6.1f} s")
    for tier, name in (("core", "bytes between pods"), ("rack", "bytes on rack links")):
        widest = max(plain["bytes"][tier], mlnet["bytes"][tier])
        for label, result in (("plain", plain), ("MLNet", mlnet)):
            lines.append(f"  {name:<20} {label:<6} {bar(result['bytes'][tier], widest)} {result['bytes'][tier] / 1e6:6.1f} MB")
    lines += ["", "  checks"]
    for c in held:
        value = "none" if c["value"] is None else f"{c['value']:.3f}"
        lines.append(f"  {'holds' if c['holds'] else 'FAILS'}  {c['check']}: {value} (at {'most' if c['atMost'] else 'least'} {c['limit']:g})")
    return "\n".join(lines)


def run(scenario: Scenario, state: Path, keep: bool) -> bool:
    """The whole demonstration; says whether every check held, and raises when a part does not work."""
    terminal = Terminal()
    directory = state / "demo"
    prepare(state, directory)
    evaluation = Evaluation(scenario, state, directory, terminal)
    try:
        evaluation.start()
        address = f"http://127.0.0.1:{evaluation.stack.port}/"
        terminal.say(f"dashboard: {address}")
        plain, mlnet = evaluation.run(PLAIN), evaluation.run(MLNET)
        held = checks(plain, mlnet)
        query = HISTORY_QUERY.format(jobs=", ".join(str(j["jobId"]) for j in [*plain["jobs"], *mlnet["jobs"]]))
        answer = evaluation.postgres.table(query)
        result = {
            "scenario": scenario.name, "modes": {"plain": plain, "mlnet": mlnet},
            "meanSecondsRatio": mlnet["meanSeconds"] / plain["meanSeconds"], "coreBytesRatio": mlnet["bytes"]["core"] / plain["bytes"]["core"] if plain["bytes"]["core"] else None,
            "checks": held, "dashboard": address, "historyQuery": query, "historyAnswer": answer}
        path = directory / "result.json"
        path.write_text(json.dumps(result, indent=1))
        terminal.show(summary(scenario, plain, mlnet, held))
        terminal.show(f"\n  history, as anyone can ask it:\n\n{query}\n\n{answer}")
        terminal.show(f"  every figure:  {os.path.relpath(path)}\n  dashboard:     {address}" + ("" if keep else "   (./run demo --keep leaves it running)"))
        if keep:
            terminal.show(f"  psql:          {evaluation.postgres.shell_hint()}\n\n  all of it runs until Ctrl-C; the last jobs have ended, their flows are in history")
            threading.Event().wait()
        return all(c["holds"] for c in held)
    finally:
        evaluation.stop()


def main(arguments: List[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run demo", description="two training jobs on an emulated fat-tree: plain, then through MLNet")
    parser.add_argument("--state", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="leave all of it running until Ctrl-C")
    parser.add_argument("scenario", type=Path, nargs="?", default=Path(__file__).parents[1] / "scenarios" / "demo.json")
    options = parser.parse_args(arguments)

    stopping.raise_when_told()
    try:
        return 0 if run(load(options.scenario), options.state, options.keep) else CHECK_FAILED
    except stopping.Stopped as stopped:
        code = say_stopped(stopped)
        return 0 if options.keep else code
    except FAULTS as error:
        print(f"run: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(handing_back(main))

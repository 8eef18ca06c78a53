"""The least bottleneck time of any sharded aggregation forest, by linear programming: what the planner's trees are measured against.

A forest divides the message over trees that span all workers; helpers may be inner nodes. Each tree edge carries its shard's part once up
and once down, and crosses the links of both hosts and, where racks (pods) differ, the uplinks of both racks (pods). As push and pull mirror
each other, a link carries in each direction as many parts as edges end at (leave) its host, rack or pod: which end is the root does not matter.

  minimise T  subject to  sum over trees x = 1,  for every link e: sum over trees x * edges(tree, e) <= T * rate(e)

There is a column for every tree, so columns are made when they pay: with prices y >= 0 on links (sum of price * rate = 1) the cheapest tree is found
exactly, and its price is a lower bound of T for any y. Hosts of one rack, one rate and one role are alike, and share a row and a price: of an optimal
solution the mean over all ways to swap alike hosts is optimal too.

The planner is not asked: this file reads sites, rates and roles, and nothing else.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Hosts:
    """Hosts that are alike."""

    rack: int
    rate: float
    workers: bool
    count: int


@dataclass(frozen=True)
class Instance:
    """Where a job's workers and helpers stand. Rates are messages per unit of time; an uplink may be infinite."""

    hosts: Tuple[Hosts, ...]
    rack_rate: Tuple[float, ...]
    pod_of_rack: Tuple[int, ...]
    pod_rate: Tuple[float, ...]


@dataclass(frozen=True)
class Column:
    """A tree, by the edges at each group of hosts, rack and pod."""

    at_hosts: Tuple[int, ...]
    at_racks: Tuple[int, ...]
    at_pods: Tuple[int, ...]


@dataclass(frozen=True)
class Bounds:
    lower: float
    upper: float
    columns: int
    # Of the processor, so that other processes do not count; of that, inside HiGHS.
    seconds: float
    highs_seconds: float


def cheapest_tree(instance: Instance, a: Sequence[float], b: Sequence[float], g: Sequence[float]) -> Tuple[float, Column]:
    """The tree of the least price, where an edge costs a of both hosts, and b of both racks and g of both pods where these differ.

    Two helpers of one rack are never better than the cheaper of them with the edges of both, so one candidate for each rack is enough. A host's
    edges within a rack cost least at the rack's cheapest host in the tree, its centre. Seen from a rack the others differ only in the price of
    being sent to, so each pod has one centre too (the cheapest rack to send to within the pod), and the fabric one. Each rack sends to its own centre,
    or (dissolved) every host of it out; each pod likewise. All choices of centres are tried: that is all trees that can be cheapest.
    """
    racks = range(len(instance.rack_rate))
    pods = range(len(instance.pod_rate))
    workers: List[List[int]] = [[] for _ in racks]
    candidates: List[List[int]] = [[] for _ in racks]
    for index, hosts in enumerate(instance.hosts):
        if hosts.workers:
            workers[hosts.rack].append(index)
    for rack in racks:
        here = [i for i, h in enumerate(instance.hosts) if h.rack == rack]
        for role in (True, False):
            of_role = [i for i in here if instance.hosts[i].workers == role]
            if of_role:
                candidates[rack].append(min(of_role, key=lambda i: a[i]))
    busy_pods = [p for p in pods if any(workers[r] for r in racks if instance.pod_of_rack[r] == p)]

    def rack_cost(rack: int, centre: Optional[int], outside: float, is_top: bool) -> float:
        """Edges from the rack's workers, and its centre's own edge to the outside (at that price, of the far end) unless the root is here."""
        if not workers[rack] and centre is None:
            return 0.0
        away = outside + b[rack]
        total = 0.0
        for i in workers[rack]:
            h = instance.hosts[i]
            count = h.count - (1 if i == centre else 0)
            near = math.inf if centre is None else a[centre]
            total += count * (a[i] + min(near, away))
        if centre is not None and not is_top:
            total += a[centre] + away
        return total

    best = math.inf
    best_choice: Tuple[int, Dict[int, Optional[Tuple[int, int]]], Dict[int, Optional[int]]] = (-1, {}, {})
    for top_rack in racks:
        for top in candidates[top_rack]:
            top_pod = instance.pod_of_rack[top_rack]
            far = a[top] + b[top_rack] + g[top_pod]
            total = 0.0
            pod_choice: Dict[int, Optional[Tuple[int, int]]] = {}
            rack_choice: Dict[int, Optional[int]] = {}
            for pod in set(busy_pods) | {top_pod}:
                in_pod = [r for r in racks if instance.pod_of_rack[r] == pod]
                options: List[Optional[Tuple[int, int]]] = [(top_rack, top)] if pod == top_pod else [None, *((r, c) for r in in_pod for c in candidates[r])]
                least = math.inf
                for option in options:
                    cost = 0.0
                    choice: Dict[int, Optional[int]] = {}
                    for rack in in_pod:
                        if option is not None and rack == option[0]:
                            # The pod's centre is its rack's; its own edge leaves the pod, unless it is the root.
                            cost += rack_cost(rack, option[1], far + g[pod], pod == top_pod)
                            choice[rack] = option[1]
                            continue
                        near = math.inf if option is None else a[option[1]] + b[option[0]]
                        away = near if pod == top_pod else min(near, far + g[pod])
                        centre = min((None, *(c for c in candidates[rack] if instance.hosts[c].workers or workers[rack])), key=lambda c: rack_cost(rack, c, away, False))
                        cost += rack_cost(rack, centre, away, False)
                        choice[rack] = centre
                    if cost < least:
                        least = cost
                        pod_choice[pod] = option
                        kept = choice
                total += least
                rack_choice.update(kept)
                if total >= best:
                    break
            if total < best:
                best = total
                best_choice = (top, pod_choice, rack_choice)

    # The tree itself, counted edge by edge.
    top, pod_choice, rack_choice = best_choice
    at_hosts = [0] * len(instance.hosts)
    at_racks = [0] * len(instance.rack_rate)
    at_pods = [0] * len(instance.pod_rate)
    top_rack = instance.hosts[top].rack
    top_pod = instance.pod_of_rack[top_rack]

    def edges(count: int, i: int, j: int) -> None:
        at_hosts[i] += count
        at_hosts[j] += count
        r, s = instance.hosts[i].rack, instance.hosts[j].rack
        if r != s:
            at_racks[r] += count
            at_racks[s] += count
            p, q = instance.pod_of_rack[r], instance.pod_of_rack[s]
            if p != q:
                at_pods[p] += count
                at_pods[q] += count

    for rack in racks:
        pod = instance.pod_of_rack[rack]
        centre = rack_choice.get(rack)
        middle = pod_choice.get(pod)
        ways_out = [top] if middle is None else [middle[1], top]

        def out(i: int) -> int:
            """Where a host of this rack sends what leaves the rack: the cheaper of the pod's centre and the fabric's."""
            def price(j: int) -> float:
                s = instance.hosts[j].rack
                q = instance.pod_of_rack[s]
                return a[j] + b[s] + (g[q] + g[pod] if q != pod else 0.0)
            return min((j for j in ways_out if j != i), key=price)

        for i in workers[rack]:
            count = instance.hosts[i].count - (1 if i == centre else 0)
            if count:
                away = out(-1)
                s = instance.hosts[away].rack
                q = instance.pod_of_rack[s]
                if s == rack:
                    edges(count, i, away)
                    continue
                price = a[away] + b[s] + b[rack] + (g[q] + g[pod] if q != pod else 0.0)
                edges(count, i, centre if centre is not None and a[centre] <= price else away)
        if centre is not None and centre != top and (workers[rack] or (middle is not None and middle[1] == centre)):
            edges(1, centre, out(centre))
    column = Column(tuple(at_hosts), tuple(at_racks), tuple(at_pods))
    return best, column


def price_of(column: Column, a: Sequence[float], b: Sequence[float], g: Sequence[float]) -> float:
    return float(np.dot(column.at_hosts, a) + np.dot(column.at_racks, b) + np.dot(column.at_pods, g))


def solve(instance: Instance, gap: float = 1e-6, cap_seconds: float = 60.0) -> Bounds:
    """Lower and upper bound of the least time; equal but for ``gap`` unless the time is up."""
    started, used = time.monotonic(), time.process_time()
    rates = np.array(
        [h.rate * h.count for h in instance.hosts]
        + list(instance.rack_rate) + list(instance.pod_rate))
    bound = np.isfinite(rates)
    columns: List[Column] = []
    seen = set()
    n, m = len(instance.hosts), len(instance.rack_rate)
    # First prices: all links alike.
    y = np.where(bound, 1.0, 0.0) / np.where(bound, rates, 1.0)
    lower, upper = 0.0, math.inf
    stable = y / float(np.dot(np.where(bound, rates, 0.0), y))
    weight = 0.0
    highs = 0.0
    while True:
        y = y / float(np.dot(np.where(bound, rates, 0.0), y))
        fresh = False
        for prices in ((weight * stable + (1 - weight) * y, y) if weight else (y,)):
            # A price of nothing makes any detour free; what is a billionth of the mean changes no bound.
            p = prices + np.where(bound, 1e-12 * float(prices.mean()), 0.0)
            p = p / float(np.dot(np.where(bound, rates, 0.0), p))
            cost, column = cheapest_tree(instance, p[:n], p[n:n + m], p[n + m:])
            if abs(cost - price_of(column, p[:n], p[n:n + m], p[n + m:])) > 1e-9 * cost:
                raise AssertionError(f"a tree of price {cost} counts {price_of(column, p[:n], p[n:n + m], p[n + m:])}")
            if cost > lower:
                lower, stable = cost, p
            if column not in seen:
                seen.add(column)
                columns.append(column)
                fresh = True
                break
        if not fresh or (math.isfinite(upper) and upper - lower <= gap * upper) or time.monotonic() - started > cap_seconds:
            break
        # Master: parts x of the columns and T.
        loads = np.array([(*c.at_hosts, *c.at_racks, *c.at_pods) for c in columns], dtype=float).T
        rows = np.hstack([loads, -np.where(bound, rates, 0.0)[:, None]])[bound]
        began = time.process_time()
        result = linprog(
            c=[0.0] * len(columns) + [1.0], A_ub=rows, b_ub=np.zeros(len(rows)),
            A_eq=[[1.0] * len(columns) + [0.0]], b_eq=[1.0], bounds=(0, None), method="highs")
        highs += time.process_time() - began
        if result.status != 0:
            raise ArithmeticError(f"HiGHS: {result.message}")
        upper = float(result.x[-1])
        y = np.zeros(len(rates))
        y[bound] = np.maximum(0.0, -result.ineqlin.marginals)
        weight = 0.5
        if float(np.dot(np.where(bound, rates, 0.0), y)) <= 0:
            break
    return Bounds(lower, upper, len(columns), time.process_time() - used, highs)


def solve_whole(instance: Instance, cap_seconds: float = 60.0) -> Bounds:
    """The programme as one states it first, given to HiGHS whole: parts of the message by root and, for each rack and root, by the host that sums there.

    Trees are rack stars: the hosts of a rack send to one host of it (a worker's or a helper's) and that to the root, or each straight to the root.
    """
    used = time.process_time()
    rack_of = [h.rack for h in instance.hosts for _ in range(h.count)]
    rate = [h.rate for h in instance.hosts for _ in range(h.count)]
    worker = [h.workers for h in instance.hosts for _ in range(h.count)]
    n, m, p = len(rack_of), len(instance.rack_rate), len(instance.pod_rate)
    with_workers = sorted({rack_of[i] for i in range(n) if worker[i]})

    # Variables: the part rooted at each host; for each root and other rack with workers, the part summed at each of its hosts or at none; T.
    columns: List[int] = []
    rows: List[int] = []
    values: List[float] = []
    equal: List[Tuple[int, int, float]] = []

    def crosses(i: int, j: int, count: float, into: Dict[int, float]) -> None:
        links = [i, j]
        r, s = rack_of[i], rack_of[j]
        if r != s:
            links += [n + r, n + s]
            if instance.pod_of_rack[r] != instance.pod_of_rack[s]:
                links += [n + m + instance.pod_of_rack[r], n + m + instance.pod_of_rack[s]]
        for link in links:
            into[link] = into.get(link, 0.0) + count

    variables = n
    equations = 1
    for root in range(n):
        equal.append((0, root, 1.0))
        for rack in with_workers:
            own = [i for i in range(n) if rack_of[i] == rack and worker[i] and i != root]
            centres: List[Optional[int]] = [None]
            if rack != rack_of[root]:
                centres += [i for i in range(n) if rack_of[i] == rack]
                equal.append((equations, root, -1.0))
            for centre in centres:
                load: Dict[int, float] = {}
                for i in own:
                    if i != centre:
                        crosses(i, root if centre is None else centre, 1.0, load)
                if centre is not None:
                    crosses(centre, root, 1.0, load)
                variable = variables if rack != rack_of[root] else root
                for link, count in load.items():
                    rows.append(link)
                    columns.append(variable)
                    values.append(count)
                if rack != rack_of[root]:
                    equal.append((equations, variables, 1.0))
                    variables += 1
            if rack != rack_of[root]:
                equations += 1
    capacity = [*rate, *instance.rack_rate, *instance.pod_rate]
    for link, c in enumerate(capacity):
        if math.isfinite(c):
            rows.append(link)
            columns.append(variables)
            values.append(-c)
    finite = [link for link, c in enumerate(capacity) if math.isfinite(c)]
    a_ub = csr_matrix((values, (rows, columns)), shape=(n + m + p, variables + 1))[finite]
    a_eq = csr_matrix(([v for _, _, v in equal], ([r for r, _, _ in equal], [c for _, c, _ in equal])), shape=(equations, variables + 1))
    cost = np.zeros(variables + 1)
    cost[variables] = 1.0
    b_eq = np.zeros(equations)
    b_eq[0] = 1.0
    began = time.process_time()
    result = linprog(c=cost, A_ub=a_ub, b_ub=np.zeros(len(finite)), A_eq=a_eq, b_eq=b_eq, bounds=(0, None), method="highs", options={"time_limit": cap_seconds})
    ended = time.process_time()
    best = float(result.fun) if result.status == 0 else math.inf
    return Bounds(best if result.status == 0 else 0.0, best, variables, ended - used, ended - began)


def read(document: Dict[str, object]) -> Instance:
    def number(value: object) -> float:
        if value is None:
            return math.inf
        if isinstance(value, (int, float)):
            return float(value)
        raise ValueError(f"{value} is no rate")

    def items(key: str) -> List[Dict[str, object]]:
        value = document[key]
        if not isinstance(value, list):
            raise ValueError(f"{key} is no list")
        return value

    return Instance(
        tuple(Hosts(int(number(h["rack"])), number(h["rate"]), bool(h["workers"]), int(number(h["count"]))) for h in items("hosts")),
        tuple(number(r["rate"]) for r in items("racks")),
        tuple(int(number(r["pod"])) for r in items("racks")),
        tuple(number(p["rate"]) for p in items("pods")))


def main(arguments: List[str]) -> int:
    parser = argparse.ArgumentParser(description="Reads instances as JSON, one a line, and writes a line of bounds for each.")
    parser.add_argument("--cap", type=float, default=60.0, help="seconds for each instance")
    parser.add_argument("--gap", type=float, default=1e-6, help="relative distance of the bounds at which an instance is solved")
    parser.add_argument("--whole", action="store_true", help="give HiGHS the programme over rack stars whole, instead of all trees by generating columns")
    options = parser.parse_args(arguments)
    for line in sys.stdin:
        instance = read(json.loads(line))
        bounds = solve_whole(instance, options.cap) if options.whole else solve(instance, options.gap, options.cap)
        print(json.dumps({"lower": bounds.lower, "upper": bounds.upper, "columns": bounds.columns, "seconds": bounds.seconds, "highsSeconds": bounds.highs_seconds}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

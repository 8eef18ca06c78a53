"""The emulated fabric: a fat-tree of L3 routers, each a Mininet node with its own network namespace, on one machine.

Order of building: lock, leftovers of earlier runs, management bridge, nodes, all links in one batch, then each node by one
script (addresses, routes, queues). Anything that fails takes down what was built, and the error holds the failing command's words.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import IO, Any, Dict, List, Optional, Tuple, Type, Union

from mlnet_eval import cleanup, fat_tree, faults, management, nodes, queues, routes
from mlnet_eval.run_lock import RUN_ID_VARIABLE, RunLock, check_run_id
from mlnet_eval.scenario import FabricShape, check_shape

_Output = Union[None, int, IO[Any]]
_STOP_GRACE_SECONDS = 3.0
_TOOLS = ("mnexec", "ifconfig", "ip", "tc", "sysctl")


class FabricError(RuntimeError):
    """The fabric could not be built, or something was asked of it that it is not."""


class Fabric:
    """A running fat-tree. Start and stop it from one thread; the other members may be used from any thread while it runs."""

    def __init__(self, shape: FabricShape, run_id: str) -> None:
        """Checks the shape; builds nothing yet.

        Args:
            shape: what to build.
            run_id: names this run in the environment of all its processes.

        Raises:
            FabricError: the shape has faults.
        """
        wrong = check_shape(shape)
        if wrong:
            raise FabricError("fabric cannot be built: " + "; ".join(str(fault) for fault in wrong))
        self.shape = shape
        self.run_id = check_run_id(run_id)
        self.tree = fat_tree.build(shape)
        self.hosts: List[str] = list(self.tree.hosts)
        self._host_index = {host: index for index, host in enumerate(self.hosts)}
        self._ports_of: Dict[str, List[Tuple[fat_tree.Port, fat_tree.Port, float]]] = {}
        for link in self.tree.links:
            for mine, theirs in link.ports():
                self._ports_of.setdefault(mine.node, []).append((mine, theirs, link.rate_mbps))
        self.controller_address = management.CONTROLLER_ADDRESS
        self.multipath = routes.kernel_spreads_by_fields()
        self._lock = RunLock()
        self._nodes: Dict[str, Any] = {}
        self._processes: List[subprocess.Popen[Any]] = []
        self._namespaces: List[str] = []
        self._baseline: Dict[Tuple[str, str], int] = {}
        self._outer_run_id: Optional[str] = None
        self._started = False

    def __enter__(self) -> Fabric:
        self.start()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.stop()

    def start(self) -> None:
        """Builds the fabric; on any failure, nothing of it stays.

        Raises:
            FabricError: a prerequisite is missing or a command failed.
            FabricBusy: another fabric runs on this machine.
        """
        if self._started:
            raise FabricError("this fabric runs already; stop it first, or make another one.")
        self._check_prerequisites()
        self._lock.acquire()
        self._started = True
        # From here on whatever this process starts can be found by the run id, should it not live to end it.
        self._outer_run_id = os.environ.get(RUN_ID_VARIABLE)
        os.environ[RUN_ID_VARIABLE] = self.run_id
        try:
            cleanup.remove_leftovers(keep_run_id=self.run_id)
            clash = management.conflicting_address()
            if clash is not None:
                raise FabricError(f"address {clash} of this machine lies in {management.NETWORK}, which the management network needs; remove it first.")
            peer = management.barred_peer(self.tree)
            if peer is not None:
                raise FabricError(f"{peer}, which the emulated fabric uses: this machine would lose it. Run the fabric on a machine, or in a VM, of another network.")
            self._build()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends this fabric's processes and removes its links and routes. Does nothing when it does not run."""
        if not self._started:
            return
        try:
            self._end_processes()
            for node in self._nodes.values():
                _signal_group(node.shell, signal.SIGHUP)  # all at once; terminate() below waits for each
            for node in self._nodes.values():
                node.terminate()
            # A start that was interrupted may have made a node that it could not note down.
            cleanup.end_processes(lambda pid, run_id: run_id == self.run_id and cleanup.is_node_shell(pid))
        finally:
            try:
                cleanup.remove_links()
                cleanup.remove_routes()
            finally:
                self._forget()

    def _forget(self) -> None:
        self._nodes.clear()
        self._processes.clear()
        self._namespaces.clear()
        if self._outer_run_id is None:
            os.environ.pop(RUN_ID_VARIABLE, None)
        else:
            os.environ[RUN_ID_VARIABLE] = self._outer_run_id
        self._started = False
        self._lock.release()

    def topology(self) -> Dict[str, Any]:
        """The fabric as node-link JSON, as the controller loads it."""
        return fat_tree.node_link(self.tree, f"fat-tree-k{self.shape.k}")

    def host_address(self, host: str) -> str:
        """Data-plane address of a host."""
        return self._port_towards(host, self.uplink_of(host)).address

    def management_address(self, host: str) -> str:
        """Address of a host on the management network."""
        self._require_host(host)
        return management.host_address(self._host_index[host])

    def data_interface(self, host: str) -> str:
        """The interface of a host that carries its data."""
        return self._port_towards(host, self.uplink_of(host)).interface

    def uplink_of(self, host: str) -> str:
        """The edge router of a host, which is also its rack's name."""
        self._require_host(host)
        pod, edge, _ = host[1:].split("-")
        return f"e{pod}-{edge}"

    def interface_towards(self, node: str, neighbour: str) -> str:
        """The interface of a node on its link to a neighbour."""
        return self._port_towards(node, neighbour).interface

    def popen(
        self,
        host: str,
        argv: List[str],
        *,
        env: Optional[Dict[str, str]] = None,
        stdin: _Output = subprocess.DEVNULL,
        stdout: _Output = None,
        stderr: _Output = None,
    ) -> subprocess.Popen[bytes]:
        """Starts a process in the network namespace of a host or router, in a process group of its own.

        Args:
            host: name of a host or router.
            argv: the command and its arguments; no shell is involved.
            env: variables set beside those of this process.
            stdin: as for subprocess.Popen, but empty unless something is given.
            stdout: as for subprocess.Popen.
            stderr: as for subprocess.Popen.
        """
        node = self._node(host)
        environment = {**os.environ, **(env or {}), RUN_ID_VARIABLE: self.run_id}
        # mnexec -d makes the session (and so the group) itself; asking Popen for one as well would make it fork and leave.
        process = subprocess.Popen(
            ["mnexec", "-da", str(node.pid), *argv], env=environment, stdin=stdin, stdout=stdout, stderr=stderr
        )
        self._processes.append(process)
        return process

    def run(self, host: str, argv: List[str], *, stdin: str = "", timeout: float = 30.0) -> str:
        """Runs a short command in a node's network namespace and returns what it printed.

        Raises:
            FabricError: it failed; the message holds what it said.
        """
        return self._run(["mnexec", "-a", str(self._node(host).pid), *argv], stdin, timeout)

    def link_bytes(self) -> Dict[Tuple[str, str], int]:
        """Bytes sent per directed link (from, to) since start, as the sending interface counts them: after its queue, Ethernet
        header included. A segment of several packets is counted with one header, so the wire carries up to 4 % more."""
        counted = self._count_bytes()
        return {link: counted[link] - self._baseline[link] for link in counted}

    def clear_dscp(self, router: str, peer: str) -> None:
        """Makes a router clear the DSCP of all that it gets from a neighbour to forward, as some real ones do. Doing so twice is as once."""
        interface = self._forwarding_interface(router, peer)
        self.run(router, ["nft", "-f", "-"], stdin=faults.restore_dscp(interface) + faults.clear_dscp(interface))

    def rewrite_dscp(self, router: str, peer: str, sent: str, arrives: str) -> None:
        """Makes a router give another DSCP to what a neighbour sends with one, as a border between two ladders does: ``("AF41", "CS1")``.

        A router does one such thing to a neighbour: this takes the place of what ``clear_dscp`` or an earlier call asked for.
        """
        for code in (sent, arrives):
            if not re.fullmatch(r"(?i)cs[0-7]|af[1-4][1-3]|ef", code):
                raise FabricError(f"{code!r} is no code point; name one such as 'AF41', 'CS1' or 'EF'.")
        interface = self._forwarding_interface(router, peer)
        self.run(router, ["nft", "-f", "-"], stdin=faults.restore_dscp(interface) + faults.rewrite_dscp(interface, sent, arrives))

    def restore_dscp(self, router: str, peer: str) -> None:
        """Undoes ``clear_dscp`` and ``rewrite_dscp``; does nothing where there is nothing to undo."""
        self.run(router, ["nft", "-f", "-"], stdin=faults.restore_dscp(self._forwarding_interface(router, peer)))

    def _forwarding_interface(self, router: str, peer: str) -> str:
        if router in self._host_index:
            raise FabricError(f"{router!r} is a host and forwards nothing; name the router at the other end.")
        return self.interface_towards(router, peer)

    def _check_prerequisites(self) -> None:
        if os.geteuid() != 0:
            raise FabricError("the emulated fabric needs root, for it makes network namespaces; run it with sudo.")
        missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
        if missing:
            raise FabricError(f"not found on PATH: {', '.join(missing)}; install the packages mininet, net-tools, iproute2 and procps.")
        if not nodes.available():
            raise FabricError(f"{sys.executable} does not find the module mininet; install the package mininet and run Debian's own /usr/bin/python3.")

    def _build(self) -> None:
        self._run(["ip", "-batch", "-"], "\n".join(management.root_lines(self.tree)))
        management.silence_ipv6(management.BRIDGE)
        for name in self.tree.nodes:
            self._nodes[name] = nodes.start_node(name)
        self._namespaces = [os.readlink(f"/proc/{node.pid}/ns/net") for node in self._nodes.values()]
        pids = {name: node.pid for name, node in self._nodes.items()}
        self._run(["ip", "-batch", "-"], "\n".join(self._link_lines(pids) + management.port_lines(self.hosts, pids)))
        plan = routes.plan(self.tree, self.multipath)
        # A few at a time: each is mostly the kernel's waiting for a grace period, not work.
        with ThreadPoolExecutor(max_workers=8) as pool:
            for _ in pool.map(lambda name: self._configure(name, plan[name]), self.tree.nodes):
                pass
        self._baseline = self._count_bytes()

    def _link_lines(self, pids: Dict[str, int]) -> List[str]:
        """Creates every pair directly in its two namespaces: nothing ever passes through the root namespace."""
        return [
            f"link add name {low.interface} address {low.mac} netns {pids[low.node]} "
            f"type veth peer name {high.interface} address {high.mac} netns {pids[high.node]}"
            for low, high in ((link.lower, link.upper) for link in self.tree.links)
        ]

    def _configure(self, name: str, node_routes: List[routes.Route]) -> None:
        is_host = name in self._host_index
        ip_lines = ["link set lo up"]
        tc_lines: List[str] = []
        for mine, theirs, rate_mbps in self._ports_of[name]:
            segments = f" gso_max_size {queues.GSO_BYTES}" if is_host else ""
            ip_lines += [
                f"address add {mine.address}/{mine.prefix_length} dev {mine.interface}",
                f"link set dev {mine.interface} up{segments}",
                f"neighbour replace {theirs.address} lladdr {theirs.mac} dev {mine.interface} nud permanent",
            ]
            tc_lines += queues.batch_lines(mine.interface, rate_mbps, queues.HOST_QUEUE_BYTES if is_host else queues.ROUTER_QUEUE_BYTES)
        if is_host:
            ip_lines += management.host_lines(name, self._host_index[name])
        # The machine's default may be bbr, whose sharing differs from run to run. A namespace may choose another default only among
        # those the machine allows to everybody; a route may name any.
        ip_lines += routes.batch_lines(node_routes, options=" congctl cubic" if is_host else "")
        script = _node_script(_host_settings() if is_host else _router_settings(name, self.multipath), ip_lines, tc_lines)
        self.run(name, ["sh", "-s"], stdin=script, timeout=120.0)

    def _port_towards(self, node: str, neighbour: str) -> fat_tree.Port:
        for mine, theirs, _ in self._ports_of.get(node, []):
            if theirs.node == neighbour:
                return mine
        raise FabricError(f"there is no link between {node!r} and {neighbour!r} in this fabric.")

    def _require_host(self, host: str) -> None:
        if host not in self._host_index:
            raise FabricError(f"{host!r} is no host of this fabric; hosts are {self.hosts[0]} to {self.hosts[-1]}.")

    def _node(self, name: str) -> Any:
        node = self._nodes.get(name)
        if node is None:
            raise FabricError(f"{name!r} is no node of this fabric." if self._started else "the fabric does not run; start it first.")
        return node

    def _count_bytes(self) -> Dict[Tuple[str, str], int]:
        counted: Dict[Tuple[str, str], int] = {}
        for name, ports in self._ports_of.items():
            sent = _bytes_sent(self._node(name).pid)
            for mine, theirs, _ in ports:
                counted[mine.node, theirs.node] = sent[mine.interface]
        return counted

    def _end_processes(self) -> None:
        running = [process for process in self._processes if process.poll() is None]
        for process in running:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_GRACE_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)
                process.wait()
        # Grandchildren that left their group still hold a namespace; the run's processes outside the fabric are not ours to end.
        shells = {node.pid for node in self._nodes.values()}
        namespaces = set(self._namespaces)
        cleanup.end_processes(lambda pid, run_id: run_id == self.run_id and pid not in shells and _namespace_of(pid) in namespaces)

    def _run(self, argv: List[str], stdin: str, timeout: float = 120.0) -> str:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise FabricError(f"`{' '.join(argv)}` failed with {done.returncode}: {said[:2000]}")
        return done.stdout


def _host_settings() -> List[str]:
    return [
        "net.ipv6.conf.all.disable_ipv6=1",
        "net.ipv6.conf.default.disable_ipv6=1",
        # A run must not start from what the kernel remembers of the run before.
        "net.ipv4.tcp_no_metrics_save=1",
    ]


def _router_settings(router: str, multipath: bool) -> List[str]:
    settings = [
        "net.ipv6.conf.all.disable_ipv6=1",
        "net.ipv6.conf.default.disable_ipv6=1",
        "net.ipv4.ip_forward=1",
        # Bit 11, time exceeded, is left out: probes of a path are answered without the limit of one per second and target.
        "net.ipv4.icmp_ratemask=4120",
        # A router has no sockets to look for; switches do not look either.
        "net.ipv4.ip_early_demux=0",
    ]
    if multipath:
        settings += ["net.ipv4.fib_multipath_hash_policy=3", f"net.ipv4.fib_multipath_hash_fields={routes.HASH_FIELDS[router[0]]:#x}"]
    return settings


def _node_script(settings: List[str], ip_lines: List[str], tc_lines: List[str]) -> str:
    return "\n".join(
        [
            "set -e",
            # -e passes over keys that an older kernel lacks.
            "sysctl -e -q -w " + " ".join(settings),
            # Replies may take another uplink than requests. The stricter of an interface's own and the common value counts, so set all.
            "for filter in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $filter; done",
            "ip -batch - <<'END'",
            *ip_lines,
            "END",
            "tc -batch - <<'END'",
            *tc_lines,
            "END",
            "",
        ]
    )


def _bytes_sent(pid: int) -> Dict[str, int]:
    """Bytes sent per interface in a process's network namespace; /proc shows each process's own."""
    sent = {}
    with open(f"/proc/{pid}/net/dev", encoding="ascii") as table:
        for line in table.readlines()[2:]:
            interface, _, columns = line.partition(":")
            sent[interface.strip()] = int(columns.split()[8])
    return sent


def _namespace_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def _signal_group(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        # Not yet a group of its own (mnexec has not run so far), or gone.
        process.send_signal(number)

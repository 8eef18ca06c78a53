"""Traffic between nodes of a fabric, for the tests."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Tuple

from mlnet_eval.fabric import Fabric

# Answers UDP datagrams with their own content, on all addresses.
ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7000))
print("up", flush=True)
while True:
    data, sender = s.recvfrom(2048)
    s.sendto(data, sender)
"""

# Prints, of the addresses given, those that answer within the time given, each asked ten times.
ASK = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
waiting, deadline = set(sys.argv[2:]), time.monotonic() + float(sys.argv[1])
again = 0
while waiting and time.monotonic() < deadline:
    if time.monotonic() >= again:
        for address in waiting:
            try:
                s.sendto(b"?", (address, 7000))
            except OSError:
                pass  # no route yet, or a refusal of the datagram before: asked again below
        again = time.monotonic() + float(sys.argv[1]) / 10
    s.settimeout(0.05)
    try:
        waiting.discard(s.recvfrom(2048)[1][0])
    except OSError:
        pass  # nothing came in time, or a refusal did: who stays silent is not printed
print(" ".join(sorted(set(sys.argv[2:]) - waiting)))
"""

# Sends a datagram per port and hop limit to an address, and prints who says that it could not go further: port, limit, address.
PROBE = """
import socket, struct, sys, time
address, ports, limits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for port in range(7200, 7200 + ports):
    for limit in range(1, limits + 1):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("0.0.0.0", port))
        s.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
        s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, limit)
        s.sendto(b"?", (address, 7000))
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            try:
                _, control, _, _ = s.recvmsg(512, 512, socket.MSG_ERRQUEUE)
            except OSError:
                time.sleep(0.0005)
                continue
            print(port, limit, socket.inet_ntoa(control[0][2][20:24]), flush=True)
            break
        s.close()
"""

# Takes a number of connections and reads each to its end.
TAKE = """
import socket, sys, threading
service = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=128)
print("up", flush=True)
def drain(connection):
    while connection.recv(65536):
        pass
    connection.close()
readers = [threading.Thread(target=drain, args=(service.accept()[0],)) for _ in range(int(sys.argv[2])) ]
for reader in readers:
    reader.start()
"""

# Sends a number of bytes on each of a number of connections, and waits until the other side has read them all.
GIVE = """
import socket, sys, threading
def give():
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
        connection.sendall(bytes(int(sys.argv[4])))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
senders = [threading.Thread(target=give) for _ in range(int(sys.argv[3]))]
for sender in senders:
    sender.start()
"""


@contextmanager
def echo_services(fabric: Fabric) -> Iterator[None]:
    """An echo service on every host, and one in the root namespace on the management network."""
    servers = [fabric.popen(host, [sys.executable, "-c", ECHO], stdout=subprocess.PIPE) for host in fabric.hosts]
    stop, ready = threading.Event(), threading.Event()

    def answer() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
            service.bind((fabric.controller_address, 7000))
            service.settimeout(0.1)
            ready.set()
            while not stop.is_set():
                try:
                    data, sender = service.recvfrom(2048)
                    service.sendto(data, sender)
                except socket.timeout:
                    pass  # nobody asked: only a look whether to stop

    root_service = threading.Thread(target=answer)
    root_service.start()
    try:
        for server in servers:
            assert server.stdout is not None and server.stdout.readline() == b"up\n"
        assert ready.wait(10)
        yield
    finally:
        stop.set()
        root_service.join()
        for server in servers:
            server.kill()
            server.wait()


def answering(fabric: Fabric, host: str, addresses: List[str], seconds: float) -> List[str]:
    return fabric.run(host, [sys.executable, "-c", ASK, str(seconds), *addresses], timeout=seconds + 20).split()


def unanswered_pairs(fabric: Fabric) -> List[Tuple[str, str]]:
    """Pairs of hosts of which the second does not answer the first; needs the echo services."""
    addresses = {host: fabric.host_address(host) for host in fabric.hosts}
    asking = {
        host: fabric.popen(
            host, [sys.executable, "-c", ASK, "20", *(address for other, address in addresses.items() if other != host)], stdout=subprocess.PIPE
        )
        for host in fabric.hosts
    }
    answered = {host: set(process.communicate(timeout=60)[0].decode().split()) for host, process in asking.items()}
    return [(host, other) for host in fabric.hosts for other in fabric.hosts if other != host and addresses[other] not in answered[host]]


class Stream:
    """An iperf3 sender and its receiver."""

    def __init__(self, fabric: Fabric, source: str, target: str, port: int, *arguments: str) -> None:
        self._server = fabric.popen(target, ["iperf3", "-s", "-1", "-p", str(port)], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while f":{port} " not in fabric.run(target, ["ss", "-Hltn"]):
            assert time.monotonic() < deadline, "iperf3 does not listen"
        self._client = fabric.popen(
            source, ["iperf3", "-J", "-c", fabric.host_address(target), "-p", str(port), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def result(self) -> Dict[str, Any]:
        output, _ = self._client.communicate(timeout=60)
        self._server.wait(20)
        document: Dict[str, Any] = json.loads(output)
        assert "error" not in document, document["error"]
        return document


def transfer(fabric: Fabric, pairs: List[Tuple[str, str]], connections: int, size: int) -> None:
    """Sends ``size`` bytes on each of so many connections between each pair, all at once, to the last byte."""
    takers = [fabric.popen(target, [sys.executable, "-c", TAKE, "7101", str(connections)], stdout=subprocess.PIPE) for _, target in pairs]
    for taker in takers:
        assert taker.stdout is not None and taker.stdout.readline() == b"up\n"
    givers = [
        fabric.popen(source, [sys.executable, "-c", GIVE, fabric.host_address(target), "7101", str(connections), str(size)])
        for source, target in pairs
    ]
    assert [process.wait(60) for process in givers + takers] == [0] * 2 * len(pairs)


def class_bytes(fabric: Fabric, node: str, interface: str) -> Dict[str, int]:
    text = fabric.run(node, ["tc", "-s", "class", "show", "dev", interface])
    return {minor: int(sent) for minor, sent in re.findall(r"class htb 1:(\d+) .*\n Sent (\d+) bytes", text)}


def added(after: Dict[Any, int], before: Dict[Any, int]) -> Dict[Any, int]:
    return {key: after[key] - before[key] for key in after}

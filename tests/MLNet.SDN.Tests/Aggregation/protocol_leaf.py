"""A host of a job, written from docs/protocol.md alone: its agent and its one worker in one program. It is a leaf of every tree it stands in.

Standard input: one line of JSON, the plan; then a line for each round, the worker's contribution in base64. Standard output: for each round a line `whole`
with round and shard when all of a shard has come, then `result` with the round, the highest attempt in which a chunk came, how many chunks were answered with
a held result, and the result in base64; or `failed` with round, code and text. The numbers in brackets are the document's sections.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import random
import socket
import struct
import sys
import time
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

VERSION = 2
DATA, SIGNALLING = 1, 2
PARTIAL, RESULT, HELD = 1, 2, 3
HELLO = struct.Struct("<IBBHHBBq32sQ")
FRAME = struct.Struct("<IBBBBqIHHQqIiqqIBBHqqII")
ELEMENTS = {"float32": (1, 4), "float64": (2, 8), "int32": (5, 4), "int64": (6, 8)}
OPERATIONS = {"sum": 1, "min": 3, "max": 4}
STREAM = 0


class Epoch(NamedTuple):
    """One try at a round; ordered as its fields stand."""

    term: int
    generation: int
    attempt: int

    def json(self) -> Dict[str, Any]:
        return {"trees": {"term": self.term, "generation": self.generation}, "attempt": self.attempt}

    @staticmethod
    def of(value: Dict[str, Any]) -> Epoch:
        return Epoch(value["trees"]["term"], value["trees"]["generation"], value["attempt"])


NONE = Epoch(0, 0, 0)


def _crc_table() -> List[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Frame(NamedTuple):
    """A data frame (3)."""

    type: int
    element: int
    operation: int
    job: int
    stream: int
    shard: int
    round: int
    message_bytes: int
    chunk: int
    epoch: Epoch
    payload_element: int
    next: Epoch
    contributors: bytes
    payload: bytes

    def serialize(self) -> bytes:
        def header(crc: int) -> bytes:
            return FRAME.pack(
                0x464E4C4D, VERSION, self.type, self.element, self.operation, self.job, self.stream, self.shard, len(self.contributors), self.round,
                self.message_bytes, self.chunk, len(self.payload), *self.epoch, self.payload_element, 0, 0, self.next.term, self.next.generation, crc, self.next.attempt)

        body = self.contributors + self.payload
        return header(crc32c(header(0) + body)) + body

    @staticmethod
    async def read(reader: asyncio.StreamReader) -> Frame:
        """Raises ValueError for what closes a connection."""
        head = await reader.readexactly(FRAME.size)
        (magic, version, kind, element, operation, job, stream, shard, contributor_bytes, number, message_bytes, chunk, payload_bytes,
         term, generation, attempt, payload_element, flags, zero, next_term, next_generation, crc, next_attempt) = FRAME.unpack(head)
        if magic != 0x464E4C4D or version != VERSION or flags or zero or contributor_bytes > 1024 or not 0 <= payload_bytes <= 16 << 20:
            raise ValueError("malformed frame")
        body = await reader.readexactly(contributor_bytes + payload_bytes)
        if crc32c(head[:88] + bytes(4) + head[92:] + body) != crc:
            raise ValueError("checksum")
        return Frame(kind, element, operation, job, stream, shard, number, message_bytes, chunk, Epoch(term, generation, attempt), payload_element,
                     Epoch(next_term, next_generation, next_attempt), body[:contributor_bytes], body[contributor_bytes:])


class Plan:
    """What the controller would have sent."""

    def __init__(self, line: Dict[str, Any]) -> None:
        self.host: str = line["host"]
        self.rank: int = line["rank"]
        self.port: int = line["port"]
        self.job: int = line["job"]
        self.secret = base64.b64decode(line["secret"])
        self.members: List[str] = line["members"]  # host by rank
        self.endpoints: Dict[str, Tuple[str, int]] = {name: (address, port) for name, address, port in line["endpoints"]}
        self.racks: Dict[str, Optional[str]] = line["racks"]
        self.shards: List[Dict[str, Any]] = line["shards"]
        self.chunk_bytes: int = line["chunkBytes"]
        self.window: int = line["window"]
        self.stripes: int = line["stripes"]
        self.term: int = line["term"]
        self.generation: int = line["generation"]
        self.dscp: int = line["dscp"]
        self.signalling_dscp: int = line["signallingDscp"]
        self.element, self.element_bytes = ELEMENTS[line["dtype"]]
        self.operation = OPERATIONS[line["op"]]
        self.anchor = self.members[0]

    def parent(self, shard: int, attempt: int) -> str:
        """The parent of this host (1)."""
        if attempt == 0:
            parents: Dict[str, str] = dict(self.shards[shard]["edges"])
            return parents[self.host]
        roots: List[str] = self.shards[shard]["roots"]
        root = roots[attempt % len(roots)]
        assert root != self.host, "this client is a leaf only"
        return root

    def chunks(self, message_bytes: int) -> List[List[Tuple[int, int]]]:
        """Where the chunks of each shard lie in the message, bytes (1)."""
        count = message_bytes // self.element_bytes
        total = sum(s["weight"] for s in self.shards)
        per_chunk = self.chunk_bytes // max(4, self.element_bytes)
        before, found = 0, []
        for shard in self.shards:
            start, end = count * before // total, count * (before + shard["weight"]) // total
            found.append([(at * self.element_bytes, min(end, at + per_chunk) * self.element_bytes) for at in range(start, end, per_chunk)])
            before += shard["weight"]
        return found


class Round:
    """One round of the stream, as far as this host goes."""

    def __init__(self, number: int, epoch: Epoch, contribution: bytes, cuts: List[List[Tuple[int, int]]]) -> None:
        self.number = number
        self.contribution = contribution
        self.cuts = cuts
        self.result = bytearray(len(contribution))
        self.held: Set[Tuple[int, int]] = set()  # chunks whose result has come, in any epoch
        self.next = NONE
        self.done = asyncio.Event()
        self.failure: Optional[Tuple[str, str]] = None
        self.last_attempt = 0
        self.held_answers = 0
        self.enter(epoch)

    def enter(self, epoch: Epoch) -> None:
        """Begins anew in a later epoch: nothing is sent in it yet, nothing answered; what is held stays (3, rule 3)."""
        self.epoch = epoch
        self.held_before = set(self.held)
        self.sent: Set[Tuple[int, int]] = set()
        self.answered: Set[Tuple[int, int]] = set()
        self.lives: Dict[int, int] = {}  # of the parent, by shard (rule 1)

    @property
    def chunk_count(self) -> int:
        return sum(len(shard) for shard in self.cuts)


class Link:
    """The data connections to one host."""

    def __init__(self) -> None:
        self.writers: Dict[int, asyncio.StreamWriter] = {}
        self.life = 0
        self.missing_since = time.monotonic()
        self.dialling = False


class Leaf:
    """The host."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.life = random.getrandbits(63) | 1
        self.boot = os.urandom(8).hex()
        self.links: Dict[str, Link] = {}
        self.rounds: Dict[int, Round] = {}
        self.epochs: Dict[int, Epoch] = {}  # the highest heard of, by round
        self.anchor: Optional[asyncio.StreamWriter] = None
        self.away: Set[str] = set()
        self.may_begin = False
        self.opened: Optional[int] = None
        self.failed = -1
        self.last_said = 0.0
        self.changed = asyncio.Condition()

    async def run(self, lines: asyncio.StreamReader) -> None:
        server = await asyncio.start_server(self._accept, port=self.plan.port, family=socket.AF_INET)
        tasks = [asyncio.create_task(self._signalling()), asyncio.create_task(self._every_second())]
        for shard in range(len(self.plan.shards)):
            self._link(self.plan.parent(shard, 0))
        number = await self._first_round()
        while line := await lines.readline():
            contribution = base64.b64decode(line)
            begun = await self._begin(number, contribution)
            await begun.done.wait()
            if begun.failure is None:
                print("result", number, begun.last_attempt, begun.held_answers, base64.b64encode(begun.result).decode(), flush=True)
            else:
                print("failed", number, *begun.failure, flush=True)
            number += 1
        for task in tasks:
            task.cancel()
        server.close()

    # Rounds

    async def _first_round(self) -> int:
        while self.opened is None or not self.may_begin:
            if self.opened is None:
                self._tell(type="open", rank=self.plan.rank, stream=STREAM)
            await self._wait()
        return self.opened

    async def _begin(self, number: int, contribution: bytes) -> Round:
        before = self.rounds.get(number - 1)
        if before is not None:
            self._heard(number, before.next)
        while number not in self.epochs and number > self.failed:
            self._tell(type="epoch", stream=STREAM, round=number)
            await self._wait()
        begun = Round(number, self.epochs.get(number, NONE), contribution, self.plan.chunks(len(contribution)))
        self.rounds[number] = begun
        self.rounds.pop(number - 2, None)
        if number <= self.failed:
            begun.failure = ("failed", "before it began")
            begun.done.set()
        self._send(begun)
        return begun

    def _heard(self, number: int, epoch: Epoch) -> None:
        """Takes the highest epoch of a round (3, rule 2)."""
        if epoch == NONE or (number in self.epochs and epoch <= self.epochs[number]):
            return
        self.epochs[number] = epoch
        begun = self.rounds.get(number)
        if begun is not None and epoch > begun.epoch:
            begun.enter(epoch)
            for shard in range(len(self.plan.shards)):
                self._link(self.plan.parent(shard, epoch.attempt))
            self._report()
            self._send(begun)

    def _send(self, begun: Round) -> None:
        """Sends what the window allows (3, 1)."""
        for shard, cuts in enumerate(begun.cuts):
            parent = self.plan.parent(shard, begun.epoch.attempt)
            link = self._link(parent)
            for chunk, (start, end) in enumerate(cuts):
                if chunk >= self.plan.window and (shard, chunk - self.plan.window) not in begun.answered:
                    break
                if not link.writers or begun.lives.setdefault(shard, link.life) != link.life:
                    break
                if (shard, chunk) in begun.sent or (shard, chunk) in begun.answered:
                    continue
                is_held = begun.epoch.attempt > 0 and (shard, chunk) in begun.held_before
                frame = Frame(
                    HELD if is_held else PARTIAL, self.plan.element, self.plan.operation, self.plan.job, STREAM, shard, begun.number,
                    len(begun.contribution), chunk, begun.epoch, self.plan.element, begun.next, self._bits([self.plan.rank]), bytes((begun.result if is_held else begun.contribution)[start:end]))
                random.choice(list(link.writers.values())).write(frame.serialize())
                begun.sent.add((shard, chunk))
                begun.held_answers += is_held

    def _bits(self, ranks: Iterable[int]) -> bytes:
        bits = bytearray((len(self.plan.members) + 7) // 8)
        for rank in ranks:
            bits[rank // 8] |= 1 << rank % 8
        return bytes(bits)

    def _take(self, host: str, frame: Frame) -> None:
        """Takes a result; raises ValueError for what no honest peer sends."""
        if frame.job != self.plan.job or frame.stream != STREAM or frame.type != RESULT or frame.shard >= len(self.plan.shards):
            raise ValueError("a frame for somebody else")
        if frame.epoch.attempt > 0:
            self._heard(frame.round, frame.epoch)
        begun = self.rounds.get(frame.round)
        if begun is None or frame.epoch != begun.epoch or begun.failure is not None:
            return  # too late
        key = (frame.shard, frame.chunk)
        if key not in begun.sent:
            return  # not asked for in this life
        if (frame.element, frame.operation, frame.message_bytes) != (self.plan.element, self.plan.operation, len(begun.contribution)):
            self._tell(type="fail", stream=STREAM, round=begun.number, code="shape-mismatch", text=f"the result that {host} sent is of another shape")
            return
        start, end = begun.cuts[frame.shard][frame.chunk]
        if host != self.plan.parent(frame.shard, begun.epoch.attempt) or len(frame.payload) != end - start or frame.contributors != self._bits(range(len(self.plan.members))):
            raise ValueError("not the result that was asked for")
        begun.answered.add(key)
        if frame.next != NONE:
            begun.next = frame.next
            self._heard(frame.round + 1, frame.next)
        if key not in begun.held:
            begun.held.add(key)
            begun.result[start:end] = frame.payload
            begun.last_attempt = max(begun.last_attempt, frame.epoch.attempt)
            if all((frame.shard, chunk) in begun.held for chunk in range(len(begun.cuts[frame.shard]))):
                print("whole", begun.number, frame.shard, flush=True)
        self._send(begun)
        if len(begun.held) == begun.chunk_count:
            begun.done.set()

    # Data connections (2)

    def _link(self, host: str) -> Link:
        link = self.links.setdefault(host, Link())
        if not link.dialling and self.plan.host.encode() < host.encode():
            link.dialling = True
            rack = self.plan.racks[host]
            stripes = 1 if rack is not None and rack == self.plan.racks[self.plan.host] else self.plan.stripes
            for stripe in range(stripes):
                asyncio.create_task(self._dial_data(host, stripe, stripes))
        return link

    async def _dial_data(self, host: str, stripe: int, stripes: int) -> None:
        wait = 0.05
        while True:
            try:
                reader, writer, life = await self._dial(host, DATA, stripe, stripes, self.plan.dscp)
                wait = 0.05
                await self._serve(host, stripe, life, reader, writer)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                await asyncio.sleep(wait * random.uniform(0.5, 1))
                wait = min(1.0, wait * 2)

    async def _dial(self, host: str, role: int, stripe: int, stripes: int, dscp: int) -> Tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
        dialled = socket.socket()
        dialled.setblocking(False)
        dialled.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)  # before: the SYN carries it as well
        try:
            await asyncio.get_running_loop().sock_connect(dialled, self.plan.endpoints[host])
            reader, writer = await asyncio.open_connection(sock=dialled)
        except BaseException:
            dialled.close()
            raise
        try:
            own, other = self.plan.host.encode(), host.encode()
            hello = HELLO.pack(0x484E4C4D, VERSION, role, stripe, stripes, len(own), len(other), self.plan.job, os.urandom(32), self.life) + own + other
            async with asyncio.timeout(5):
                writer.write(hello)
                challenge = await reader.readexactly(32)
                writer.write(self._mac(b"mlnet-2 dialler", hello, challenge))
                answer = await reader.readexactly(40)
            if not hmac.compare_digest(answer[:32], self._mac(b"mlnet-2 acceptor", hello, challenge, answer[32:])):
                raise ValueError("the acceptor does not hold the secret")
            return reader, writer, int.from_bytes(answer[32:], "little")
        except BaseException:
            writer.close()
            raise

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                head = await reader.readexactly(HELLO.size)
                magic, version, role, stripe, _, own, other, job, _, life = HELLO.unpack(head)
                if magic != 0x484E4C4D or version != VERSION:
                    return
                hello = head + await reader.readexactly(own + other)
                host, name = hello[HELLO.size:HELLO.size + own].decode(), hello[HELLO.size + own:].decode()
                challenge = os.urandom(32)
                writer.write(challenge)
                proof = await reader.readexactly(32)
            if not hmac.compare_digest(proof, self._mac(b"mlnet-2 dialler", hello, challenge)) or job != self.plan.job or name != self.plan.host \
                    or role != DATA or host not in self.plan.endpoints or not host.encode() < name.encode():
                return
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_IP, socket.IP_TOS, self.plan.dscp << 2)
            own_life = self.life.to_bytes(8, "little")
            writer.write(self._mac(b"mlnet-2 acceptor", hello, challenge, own_life) + own_life)
            await self._serve(host, stripe, life, reader, writer)
        except (OSError, asyncio.IncompleteReadError, ValueError):  # a TimeoutError is an OSError
            pass  # a peer that went away or said something else: the connection ends, and who wants one dials again
        finally:
            writer.close()

    def _mac(self, label: bytes, *parts: bytes) -> bytes:
        return hmac.new(self.plan.secret, label + b"".join(parts), hashlib.sha256).digest()

    async def _serve(self, host: str, stripe: int, life: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One data connection until it ends."""
        link = self.links.setdefault(host, Link())
        former = link.writers.pop(stripe, None)
        if former is not None:
            former.close()
        link.writers[stripe] = writer
        link.life = life
        self._send_again(host)
        try:
            while True:
                self._take(host, await Frame.read(reader))
        finally:
            writer.close()
            if link.writers.get(stripe) is writer:
                del link.writers[stripe]
                link.missing_since = time.monotonic()
            self._send_again(host)

    def _send_again(self, host: str) -> None:
        """Sends all that has no result yet (3)."""
        for begun in self.rounds.values():
            begun.sent = {(shard, chunk) for shard, chunk in begun.sent if (shard, chunk) in begun.answered or self.plan.parent(shard, begun.epoch.attempt) != host}
            self._send(begun)

    # Signalling (4)

    async def _signalling(self) -> None:
        wait = 0.05
        while True:
            try:
                reader, writer, _ = await self._dial(self.plan.anchor, SIGNALLING, 0, 1, self.plan.signalling_dscp)
                self.anchor, wait = writer, 0.05
                self._report()
                while True:
                    async with asyncio.timeout(8):
                        length = int.from_bytes(await reader.readexactly(4), "little")
                        if length > 4 << 20:
                            raise ValueError("message too long")
                        text = await reader.readexactly(length)
                    await self._on_message(json.loads(text))
            except (OSError, asyncio.IncompleteReadError, ValueError):
                if self.anchor is not None:
                    self.anchor.close()
                self.anchor = None
                await asyncio.sleep(wait * random.uniform(0.5, 1))
                wait = min(1.0, wait * 2)

    def _tell(self, **message: Any) -> None:
        if self.anchor is not None:
            text = json.dumps(message).encode()
            self.anchor.write(len(text).to_bytes(4, "little") + text)
            self.last_said = time.monotonic()

    def _report(self) -> None:
        revision = {"term": self.plan.term, "generation": self.plan.generation}
        self._tell(
            type="state", boot=self.boot, revisions=[revision],
            workers=[{"rank": self.plan.rank, "session": 1, "joined": True, "restored": False, "ended": 0, "last": []}],
            streams=[{"stream": STREAM, "failed": self.failed, "rounds": [{"round": n, "epoch": e.json()} for n, e in sorted(self.epochs.items())[-4:]]}])

    async def _on_message(self, message: Dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "roster":
            self.away = {entry["host"] for entry in message["away"] + message["lost"]}
            self.may_begin = not message["missing"]
        elif kind == "opened" and message["rank"] == self.plan.rank:
            self.opened = message["round"]
            self._heard(message["round"], Epoch.of(message["epoch"]))
        elif kind == "epoch" and message["stream"] == STREAM:
            self._heard(message["round"], Epoch.of(message["epoch"]))
        elif kind == "failed" and message["stream"] == STREAM:
            self.failed = max(self.failed, message["round"])
            for number, begun in self.rounds.items():
                if (message["first"] <= number <= message["round"] or number < message.get("spared", 0)) and not begun.done.is_set():
                    begun.failure = (message["code"], message["text"])
                    begun.done.set()
            self._heard(message["round"] + 1, Epoch.of(message["epoch"]))
            self._report()
        elif kind == "describe":
            asked = self.rounds.get(message["round"])
            shape = {"rank": self.plan.rank, "type": self.plan.element, "operation": self.plan.operation, "fixedOrder": False}
            self._tell(type="shapes", stream=message["stream"], round=message["round"], shapes=[] if asked is None else [{**shape, "bytes": len(asked.contribution)}])
        async with self.changed:
            self.changed.notify_all()

    async def _wait(self) -> None:
        """Until something is heard, a second at most: then it is asked again."""
        async with self.changed:
            try:
                await asyncio.wait_for(self.changed.wait(), 1)
            except TimeoutError:
                pass  # the caller asks again

    async def _every_second(self) -> None:
        while True:
            await asyncio.sleep(1)
            if time.monotonic() - self.last_said > 0.9:
                self._tell(type="ping")
            for begun in self.rounds.values():
                if not begun.done.is_set() and (reason := self._stuck(begun)) is not None:
                    self._tell(type="stuck", stream=STREAM, round=begun.number, epoch=begun.epoch.json(), text=reason)

    def _stuck(self, begun: Round) -> Optional[str]:
        for shard in range(len(begun.cuts)):
            parent = self.plan.parent(shard, begun.epoch.attempt)
            link = self._link(parent)
            if parent in self.away:
                return f"host {parent} is away"
            if not link.writers and time.monotonic() - link.missing_since > 2:
                return f"no connection to {parent}"
            if link.writers and begun.lives.get(shard, link.life) != link.life:
                return f"{parent} was started anew"
        return None


async def main() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await Leaf(Plan(json.loads(await lines.readline()))).run(lines)


if __name__ == "__main__":
    asyncio.run(main())

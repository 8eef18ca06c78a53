"""One rank of a small convolutional network under DistributedDataParallel: trained with Gloo's reduction, then again with MLNet's.

Prints one JSON object: losses of both, a hash of the weights that MLNet's gave, and how many rounds were under way at most.
"""

import hashlib
import json
import os
import sys
import time

os.environ.update(OMP_NUM_THREADS="1", GLOO_SOCKET_IFNAME="eth0")

import mlnet
import mlnet.torch
import torch
import torch.distributed as dist

STEPS = 12
BATCH = 8


def network() -> torch.nn.Module:
    torch.manual_seed(7)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(16 * 7 * 7, 512), torch.nn.ReLU(), torch.nn.Linear(512, 512), torch.nn.ReLU(),
        torch.nn.Linear(512, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))


def train(model: torch.nn.parallel.DistributedDataParallel, rank: int) -> list:
    """Losses of this rank on samples that are the same in every run: classes that a filter can tell apart."""
    descent = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    samples = torch.Generator().manual_seed(100 + rank)
    losses = []
    for _ in range(STEPS):
        labels = torch.randint(0, 10, (BATCH,), generator=samples)
        images = torch.randn(BATCH, 1, 28, 28, generator=samples) * 0.3
        for i, label in enumerate(labels.tolist()):
            images[i, 0, 2 * label + 2 : 2 * label + 6] += 1.0
        descent.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        descent.step()
        losses.append(loss.item())
    return losses


def wrapped() -> torch.nn.parallel.DistributedDataParallel:
    return torch.nn.parallel.DistributedDataParallel(network(), bucket_cap_mb=0.5)  # several buckets even of so small a model


def main() -> None:
    torch.set_num_threads(1)
    rank, world = int(os.environ["MLNET_RANK"]), int(sys.argv[1])
    dist.init_process_group("gloo", init_method=f"tcp://{sys.argv[2]}:29400", rank=rank, world_size=world)
    if sys.argv[3] == "without-agent":
        os.environ["MLNET_AGENT_SOCKET"] += ".missing"
        begun = time.monotonic()
        try:
            mlnet.torch.register(wrapped())
        except mlnet.MlnetError as error:
            print(json.dumps({"error": type(error).__name__, "text": str(error), "seconds": time.monotonic() - begun}), flush=True)
        return
    of_gloo = train(wrapped(), rank)
    model = wrapped()
    job = mlnet.torch.register(model)
    under_way, begun_rounds, begin = 0, 0, job.reduce_async

    def counted(*arguments, **named):
        nonlocal under_way, begun_rounds
        reduction = begin(*arguments, **named)
        begun_rounds += 1
        under_way = max(under_way, len(job._pending))
        return reduction

    job.reduce_async = counted
    of_mlnet = train(model, rank)
    weights = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()
    print(json.dumps({"gloo": of_gloo, "mlnet": of_mlnet, "weights": weights, "underWay": under_way, "rounds": begun_rounds}), flush=True)
    dist.barrier()
    if sys.argv[3] == "death" and rank == 1:
        os._exit(1)
    if sys.argv[3] == "death":
        try:
            train(model, rank)
        except RuntimeError as error:
            print(json.dumps({"death": str(error)}), flush=True)
        os._exit(0)  # the process group waits for the dead one


if __name__ == "__main__":
    main()

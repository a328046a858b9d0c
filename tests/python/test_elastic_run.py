"""torchrun over two hosts: each sample once per epoch, also after a process or a host is lost."""

import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pytest
import torch
from packed_sets import write_good

from tied_augment.loader import EpochSampler

COUNT = 50
SCRIPT = Path(__file__).with_name("elastic_run.py")
# Without the first a restarted process may read where another one listened before the restart
# (pytorch/pytorch#135712), as torchrun keeps one store for all restarts.
SETTINGS = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": "1"}


@dataclass
class Host:
    name: str
    address: str
    inside: list[str] = field(default_factory=list)
    interface: str = "lo"


def ip(*words):
    command = ["ip", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.fixture
def hosts():
    """Two network namespaces joined by a cable; the machine itself where these aren't allowed."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        yield [Host("a", "127.0.0.1"), Host("b", "127.0.0.1")]
        return
    spaces = [f"tied{os.getpid()}{name}" for name in "ab"]
    ends = ["tied-a", "tied-b"]
    made = []
    try:
        for space in spaces:
            ip("netns", "add", space)
            made.append(space)
        cable = ["type", "veth", "peer", "name", ends[1], "netns", spaces[1]]
        ip("link", "add", ends[0], "netns", spaces[0], *cable)
        found = []
        for number, (space, end) in enumerate(zip(spaces, ends, strict=True), 1):
            address = f"10.77.0.{number}"
            ip("-n", space, "addr", "add", f"{address}/24", "dev", end)
            ip("-n", space, "link", "set", end, "up")
            ip("-n", space, "link", "set", "lo", "up")
            found.append(Host("ab"[number - 1], address, ["ip", "netns", "exec", space], end))
    except subprocess.CalledProcessError as error:
        print("no network namespaces here:", error.stderr)
        found = [Host("a", "127.0.0.1"), Host("b", "127.0.0.1")]
    try:
        yield found
    finally:
        for space in made:
            ip("netns", "del", space)


def run(hosts, nodes, *arguments):
    """Start torchrun on each host; the exit codes of both, and what they wrote."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for host in hosts:
        is_host = int(host is hosts[0])
        settings = f"is_host={is_host},last_call_timeout=5,keep_alive_interval=4"
        torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nnodes={nodes}"]
        torchrun += ["--nproc-per-node=1", "--max-restarts=2", "--rdzv-backend=c10d"]
        torchrun += [f"--rdzv-endpoint={hosts[0].address}:{port}", f"--rdzv-conf={settings}"]
        torchrun += ["--rdzv-id=elastic", f"--local-addr={host.address}", "--monitor-interval=0.5"]
        processes.append(
            subprocess.Popen(
                [*host.inside, *torchrun, str(SCRIPT), *map(str, arguments)],
                env=os.environ
                | SETTINGS
                | {"HOST": host.name, "GLOO_SOCKET_IFNAME": host.interface},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        outputs = [process.communicate(timeout=240)[0] for process in processes]
    finally:
        for process in processes:
            process.terminate()  # torchrun ends its own processes then
        for process in processes:
            process.wait(timeout=60)
    return [process.returncode for process in processes], outputs


@pytest.mark.slow  # torchrun takes half a minute to notice and to restart
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("dying", "nodes", "worlds"),
    [("none", "2", [2]), ("worker", "2", [2, 2]), ("host", "1:2", [2, 1])],
)
def test_each_sample_once_per_epoch(tmp_path, hosts, dying, nodes, worlds):
    write_good(tmp_path / "images", COUNT)
    saved = tmp_path / "saved.pt"
    codes, outputs = run(hosts, nodes, tmp_path / "images", saved, dying)
    assert codes[0] == 0, outputs
    assert dying == "host" or codes[1] == 0, outputs
    checkpoint = torch.load(saved)
    assert checkpoint["worlds"] == worlds
    sampler = EpochSampler(range(COUNT), seed=7)
    for epoch, batches in enumerate(checkpoint["trained"]):
        came = Counter(chain.from_iterable(batches))
        counts = {
            "expected": COUNT,
            "delivered": came.total(),
            "repeated": came.total() - len(came),
            "lost": len(set(range(COUNT)) - set(came)),
        }
        print(f"{dying} dies, {' then '.join(map(str, worlds))} processes, epoch {epoch}: {counts}")
        assert counts == {"expected": COUNT, "delivered": COUNT, "repeated": 0, "lost": 0}
        sampler.set_epoch(epoch)
        assert order_of(batches, worlds if epoch == 1 else worlds[:1]) == list(sampler)


def order_of(batches, worlds):
    """The samples in the order of one process: the ranks took turns."""
    order = []
    while batches:
        # Four steps of epoch 1 were saved before the process died.
        size = worlds[0] if len(order) < 4 * 2 * worlds[0] else worlds[-1]
        step, batches = batches[:size], batches[size:]
        order += chain.from_iterable(zip(*step, strict=True))
    return order

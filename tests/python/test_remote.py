"""TarShards over URLs: what a server may do wrong, and what comes of it."""

import collections
import io
import os
import socket
import struct
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from loader_sets import VIEWS, assert_same, epoch_of, paths_of
from torch.utils.data import DataLoader

from tied_augment import TarShards, TiedLoader, remote

BLOCK = 1000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(remote, "_BLOCK", BLOCK)
    monkeypatch.setattr(remote, "_FIRST_PAUSE", 0.001)


@pytest.fixture(scope="module")
def shards(image_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    for shard in range(2):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number, path in enumerate(paths_of(image_folder)[shard::2]):
                for ending, content in (
                    ("jpg", Path(path).read_bytes()),
                    ("cls", str(number).encode()),
                ):
                    info = tarfile.TarInfo(f"{number}.{ending}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    return sorted(folder.iterdir())


class Handler(BaseHTTPRequestHandler):
    """Files with ranges. `server.fault` says what goes wrong: by (first byte, number of times)."""

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        path = self.server.folder / self.path[1:].partition("?")[0]
        if not path.exists():
            self.send_error(404)
            return
        size = os.path.getsize(path)
        with self.server.lock:
            self.server.times["size"] += 1
            fault = self.server.size_fault(self.server.times["size"])
        if fault is not None:
            self.send_error(fault)
            return
        self.send_response(200)
        if self.server.says_length:
            self.send_header("Content-Length", str(size))
        self.end_headers()

    def do_GET(self):
        if "Range" not in self.headers:
            self.do_HEAD()
            return
        content = (self.server.folder / self.path[1:].partition("?")[0]).read_bytes()
        start, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        with self.server.lock:
            self.server.times[start] += 1
            fault = self.server.fault(start, self.server.times[start])
        if isinstance(fault, int):
            self.send_error(fault)
            return
        if fault == "slow":
            time.sleep(0.2)
        part = content if fault == "no ranges" else content[start : end + 1]
        self.send_response(200 if fault == "no ranges" else 206)
        if fault != "short":
            self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if fault in ("reset", "truncated", "short"):
            self.wfile.write(part[: len(part) // 2])
            self.wfile.flush()
            if fault == "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        else:
            self.wfile.write(part)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


@pytest.fixture
def server(shards):
    server = Server(("127.0.0.1", 0), Handler)
    server.folder = shards[0].parent
    server.lock = threading.Lock()
    server.times = collections.Counter()
    server.fault = lambda start, time: None
    server.size_fault = lambda time: None
    server.says_length = True
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def urls_of(server, query=""):
    return [f"{server.url}/{shard}.tar{query}" for shard in range(2)]


def test_a_server_that_works(shards, server):
    want = list(TarShards(shards))
    for query in ("", "?signed=a&c=d"):
        assert list(TarShards(urls_of(server, query))) == want
    got = epoch_of(TiedLoader(TarShards(urls_of(server)), VIEWS, 4))
    assert_same(got, epoch_of(TiedLoader(TarShards(shards), VIEWS, 4)))


@pytest.mark.parametrize("fault", ["reset", "truncated", "short", "slow", 503, 429, 408])
def test_what_fails_now_and_then_is_read_again(shards, server, fault):
    """Every third block fails, once or twice."""

    def fails(start, time):
        number = start // BLOCK
        return fault if number % 3 == 1 and time <= 1 + number % 2 else None

    if fault == "slow":
        server.fault = lambda start, time: "slow" if start == BLOCK else None
    else:
        server.fault = fails
    assert list(TarShards(urls_of(server)[0])) == list(TarShards(shards[0]))
    if fault != "slow":
        assert server.times[BLOCK] == 3
    assert server.times[0] == 1


@pytest.mark.parametrize(
    ("fault", "times", "message"),
    [
        (503, 6, r"0.tar: can't read byte 2000: ClientResponseError: 503"),
        ("reset", 6, r"0.tar: can't read byte 2000: Client"),
        (400, 1, r"0.tar: can't read byte 2000: ClientResponseError: 400"),
        ("no ranges", 1, r"the server doesn't give ranges of bytes"),
    ],
)
def test_what_always_fails_is_an_error_with_its_place(server, fault, times, message):
    server.fault = lambda start, time: fault if start == 2000 else None
    with pytest.raises(OSError, match=message):
        list(TarShards(urls_of(server)[0]))
    assert server.times[2000] == times
    with pytest.raises(OSError, match=message):
        epoch_of(TiedLoader(TarShards(urls_of(server)[0]), VIEWS, 4))


def test_its_size_is_asked_for_again(shards, server):
    server.size_fault = lambda time: 503 if time <= 4 else None
    assert list(TarShards(urls_of(server)[0])) == list(TarShards(shards[0]))
    server.size_fault = lambda time: 503
    with pytest.raises(OSError, match=r"0.tar: can't read its size: ClientResponseError: 503"):
        list(TarShards(urls_of(server)[0]))


def test_what_is_not_there(server):
    with pytest.raises(FileNotFoundError, match=r"none\.tar"):
        list(TarShards(f"{server.url}/none.tar"))
    server.says_length = False
    with pytest.raises(OSError, match=r"0\.tar: can't read its size: .*how long it is"):
        list(TarShards(urls_of(server)[0]))


def test_a_file_is_read_ahead_and_its_threads_end(server):
    before = threading.active_count()
    samples = iter(TarShards(urls_of(server)[0]))
    next(samples)
    names = {thread.name for thread in threading.enumerate()}
    assert {f"tied-remote-{number}" for number in range(4)} <= names
    samples.close()
    for _ in range(100):
        if not any(thread.name.startswith("tied-remote") for thread in threading.enumerate()):
            break
        time.sleep(0.05)
    assert not any(thread.name.startswith("tied-remote") for thread in threading.enumerate())
    assert threading.active_count() <= before + 8  # fsspec's own, and the server's


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_read_by_themselves(shards, server, context):
    """Also after this process has read, whose connections they must not use."""
    want = list(TarShards(urls_of(server)))
    options = {"batch_size": None, "num_workers": 2, "multiprocessing_context": context}
    got = list(DataLoader(TarShards(urls_of(server)), **options))
    assert sorted(map(tuple, got)) == sorted(want)


def test_other_protocols(shards):
    memory = fsspec.filesystem("memory")
    urls = []
    for number, shard in enumerate(shards):
        memory.pipe_file(f"/{number}.tar", shard.read_bytes())
        urls.append(f"memory://{number}.tar")
    assert list(TarShards(urls)) == list(TarShards(shards))
    with pytest.raises(ValueError, match="patterns are not expanded"):
        TarShards("memory://{0..1}.tar")


def test_fsspec_is_named_if_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ImportError, match=r"http://host/0.tar is read by fsspec: pip install"):
        list(TarShards("http://host/0.tar"))

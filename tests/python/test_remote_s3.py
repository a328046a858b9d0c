"""Shards at `s3://` URLs: moto's server, and before it a proxy that fails."""

import http.client
import io
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import fsspec
import pytest
import webdataset
from loader_sets import VIEWS, Stream, assert_same, epoch_of
from packed_sets import jpeg, pack_folder, write_good
from s3fs import S3FileSystem
from torch.utils.data import DataLoader
from webdataset.gopen import gopen_schemes

from tied_augment import TarShards, TiedLoader, remote
from tied_augment.packed import PackedDataset

pytestmark = pytest.mark.integration

SHARDS, SAMPLES = 3, 8
BLOCK = 4000
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>"


class Proxy(ThreadingHTTPServer):
    """Passes requests on to the server at `port`. `fault` says what goes wrong.

    It is asked with the method, the first byte that is wanted, and the number of such requests for
    this file so far. `faults` counts what it said.
    """

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = port
        self.lock = threading.Lock()
        self.fault = lambda method, start, time: None
        self.times = Counter()
        self.faults = Counter()

    def handle_error(self, request, client_address):
        pass


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        first = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
        with self.server.lock:
            asked = self.command, int(first), self.path
            self.server.times[asked] += 1
            times = self.server.times[asked]
            fault = self.server.fault(self.command, int(first), times)
            self.server.faults[fault] += 1
        if isinstance(fault, int):
            self.send_response(fault)
            self.send_header("Content-Length", str(len(SLOW_DOWN)))
            self.end_headers()
            self.wfile.write(SLOW_DOWN if self.command == "GET" else b"")
            return
        moto = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        moto.request(self.command, self.path, headers=dict(self.headers))
        answer = moto.getresponse()
        content = answer.read()
        moto.close()
        sent = content[: len(content) // 2] if fault in ("reset", "truncated", "short") else content
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() == "content-length" and fault == "short":
                value = len(sent)
            if name.lower() != "connection":
                self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(sent), 500):
            self.wfile.write(sent[start : start + 500])
            if fault == "slow":
                time.sleep(0.02)
        self.wfile.flush()
        if fault == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    do_HEAD = do_GET  # noqa: N815  (the name is http.server's)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three tar files, and a packed data set in `packed`."""
    folder = tmp_path_factory.mktemp("s3")
    for shard in range(SHARDS):
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for number in range(SAMPLES):
                key = SAMPLES * shard + number
                for ending, content in (
                    ("jpg", jpeg((60 + key, 70), key)),
                    ("cls", str(key).encode()),
                ):
                    info = tarfile.TarInfo(f"{key:04}.{ending}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    write_good(folder / "images")
    pack_folder(folder / "images", folder / "packed")
    return folder


@pytest.fixture(scope="module")
def moto(folder):
    """The port of moto's server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "moto.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, (folder / "moto.log").read_text()
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def client(folder, moto):
    """A client of the server, whose bucket `bucket` has the files."""
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{moto}",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="bucket")
    for path in [*folder.glob("*.tar"), *(folder / "packed").iterdir()]:
        client.upload_file(str(path), "bucket", str(path.relative_to(folder)))
    yield client
    client.close()


@pytest.fixture
def proxy(moto, client, monkeypatch):
    """A proxy before the server, to which `s3://` leads, with small blocks and pauses."""
    proxy = Proxy(moto)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
    thread.start()
    settings = {
        "endpoint_url": f"http://127.0.0.1:{proxy.server_port}",
        "key": "any",
        "secret": "any",
        # botocore's own attempts would be made in each of ours.
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    monkeypatch.setitem(fsspec.config.conf, "s3", settings)
    monkeypatch.setattr(remote, "_BLOCK", BLOCK)
    monkeypatch.setattr(remote, "_FIRST_PAUSE", 0.001)
    yield proxy
    proxy.shutdown()
    thread.join()
    proxy.server_close()


URLS = [f"s3://bucket/{shard}.tar" for shard in range(SHARDS)]


def counts_of(targets):
    came = Counter(targets)
    return {
        "expected": SHARDS * SAMPLES,
        "delivered": came.total(),
        "repeated": came.total() - len(came),
        "lost": len(set(range(SHARDS * SAMPLES)) - set(came)),
    }


ALL = {"expected": 24, "delivered": 24, "repeated": 0, "lost": 0}


@pytest.mark.parametrize("fault", [None, "reset", "truncated", "short", "slow", 503, 500])
def test_every_sample_comes_once(folder, proxy, fault):
    """Of the blocks, and of the questions for the size, every third fails once or twice."""

    def fails(method, start, times):
        if fault == "slow":
            return fault if times == 1 and start == BLOCK else None
        third = method == "HEAD" or start // BLOCK % 3 == 1
        return fault if third and times <= 2 and (method == "GET" or fault == 503) else None

    proxy.fault = fails
    local = sorted(folder.glob("*.tar"))
    got = epoch_of(TiedLoader(TarShards(URLS), VIEWS, 5))
    assert_same(got, epoch_of(TiedLoader(TarShards(local), VIEWS, 5)))
    counts = counts_of(target for _, targets in got for target in targets.tolist())
    print(f"s3, {fault}: {proxy.faults[fault]} faults, {counts}")
    assert counts == ALL
    assert proxy.faults[fault] >= 3


def test_ranks_and_workers_share_the_shards(proxy):
    proxy.fault = lambda method, start, times: 503 if start == BLOCK and times <= 2 else None
    targets = []
    for rank in range(2):
        dataset = TarShards(URLS, buffer=4, rank=rank, world_size=2)
        for context in ("fork",) if rank else (None,):
            workers = {"num_workers": 1, "multiprocessing_context": context} if context else {}
            loader = DataLoader(dataset, None, collate_fn=None, **workers)
            targets += [target for _, target in loader]
    assert counts_of(targets) == ALL
    assert proxy.faults[503] > 0


def test_a_cache_is_filled_through_failures(folder, proxy, tmp_path):
    proxy.fault = lambda method, start, times: "reset" if start == BLOCK and times <= 2 else None
    dataset = TarShards(URLS, cache_dir=tmp_path, cache_bytes=10**6)
    want = list(TarShards(sorted(folder.glob("*.tar"))))
    assert list(dataset) == want
    assert proxy.faults["reset"] > 0
    before = +proxy.times
    assert list(dataset) == want
    assert {method for method, *_ in proxy.times - before} == {"HEAD"}


def test_packed_shards_are_a_stream(folder, proxy):
    proxy.fault = lambda method, start, times: "truncated" if start and times == 1 else None
    packed = PackedDataset(folder / "packed")
    shards = sorted(path.name for path in (folder / "packed").glob("*.tar"))
    urls = [f"s3://bucket/packed/{name}" for name in shards]
    got = epoch_of(TiedLoader(TarShards(urls), VIEWS, 5))
    assert_same(got, epoch_of(TiedLoader(Stream(list(packed)), VIEWS, 5)))
    assert proxy.faults["truncated"] > 0


def test_webdataset_reads_by_our_reader(folder, proxy, monkeypatch):
    """The library itself doesn't know `s3://`."""
    proxy.fault = lambda method, start, times: "reset" if start == BLOCK and times == 1 else None
    monkeypatch.setitem(gopen_schemes, "s3", lambda url, *_, **__: remote.open_remote(url))
    data = webdataset.WebDataset(URLS, shardshuffle=False)
    got = epoch_of(TiedLoader(data, VIEWS, 5))
    assert_same(got, epoch_of(TiedLoader(TarShards(sorted(folder.glob("*.tar"))), VIEWS, 5)))
    assert proxy.faults["reset"] > 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (503, r"s3://bucket/1\.tar: can't read byte 8000: .*[Rr]educe your request rate"),
        (403, r"s3://bucket/1\.tar: can't read byte 8000: "),
        ("reset", r"s3://bucket/1\.tar: can't read byte 8000: "),
        ("short", r"s3://bucket/1\.tar: can't read byte 8000: OSError: \d+ of \d+ bytes came"),
    ],
)
def test_what_always_fails_is_an_error_with_its_place(proxy, monkeypatch, fault, message):
    monkeypatch.setattr(remote, "_ATTEMPTS", 2)
    monkeypatch.setattr(S3FileSystem, "retries", 2)  # in each of ours; they take seconds
    proxy.fault = lambda method, start, times: fault if start == 8000 else None
    with pytest.raises(OSError, match=message):
        epoch_of(TiedLoader(TarShards(URLS[1]), VIEWS, 4))


@pytest.mark.parametrize("url", ["s3://bucket/none.tar", "s3://none/0.tar"])
def test_what_is_not_there_is_asked_for_once(proxy, url):
    with pytest.raises(FileNotFoundError, match="none"):
        list(TarShards(url))
    assert max(proxy.times.values()) == 1


def test_what_is_forbidden_is_asked_for_once(proxy):
    proxy.fault = lambda method, start, times: 403
    with pytest.raises(PermissionError, match=r"0\.tar"):
        list(TarShards(URLS[0]))


def test_a_bad_sample_is_named_by_shard_and_key(folder, proxy, client):
    content = bytearray((folder / "2.tar").read_bytes())
    with tarfile.open(folder / "2.tar") as tar:
        bad = tar.getmember("0019.jpg")
    content[bad.offset_data : bad.offset_data + 100] = bytes(100)
    client.put_object(Bucket="bucket", Key="bad.tar", Body=bytes(content))
    with pytest.raises(OSError, match=r"s3://bucket/bad\.tar, 0019: "):
        epoch_of(TiedLoader(TarShards("s3://bucket/bad.tar"), VIEWS, 4))


@pytest.mark.parametrize("read", [PackedDataset, lambda url: TiedLoader(url, VIEWS, 4)])
def test_a_remote_packed_folder_is_refused_with_the_remedy(read):
    with pytest.raises(ValueError, match=r"s3://bucket/packed.*TarShards"):
        read("s3://bucket/packed")
    assert not Path("s3:").exists()

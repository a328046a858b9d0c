"""What an offline run of wandb wrote: its file is read without wandb's help, for the tests of it.

The file is a log of LevelDB: 7 bytes of its own, then blocks of 32 KiB with chunks of records.
"""

import json
import struct
from pathlib import Path

_BLOCK, _FILE_HEADER = 1 << 15, 7
_FULL, _LAST = 1, 4


def records(folder):
    """The records of the one run below `folder`."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = Path(folder).rglob("run-*.wandb")
    data, at, whole = path.read_bytes(), _FILE_HEADER, b""
    while at + 7 <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (_FULL, _LAST):
            yield Record.FromString(whole)
            whole = b""


def history(folder):
    """The rows that the run logged: dicts."""
    return [
        {
            item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json)
            for item in record.history.item
        }
        for record in records(folder)
        if record.HasField("history")
    ]

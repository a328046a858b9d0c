"""DLPack capsules that lie: refused with the argument's name, whatever they say."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import pytest
from loss_oracle import batch

from tied_augment.fused import tied_loss

LOGITS, FEATURES, TARGET = (v.numpy() for v in batch(5, 7, 3))
EXPECTED = tied_loss(LOGITS, FEATURES, TARGET, grad=False)[0]


class Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Legacy(ctypes.Structure):
    _fields_ = (("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    )


new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
# What capsules point to: they don't keep it alive.
ALIVE: list[Any] = []


def capsule(versioned: bool, name: bytes | None = None, major: int = 1, **fields: Any) -> object:
    """LOGITS in a capsule that says ``fields`` of them."""
    for key in ("shape", "strides"):
        if fields.get(key) is not None:
            fields[key] = (ctypes.c_int64 * len(fields[key]))(*fields[key])
    shape = (ctypes.c_int64 * 2)(10, 7)
    said = {"data": LOGITS.ctypes.data, "device_type": 1, "ndim": 2, "code": 2, "bits": 32}
    said |= {"lanes": 1, "shape": shape, **fields}
    managed: Any = Versioned(major=major) if versioned else Legacy()
    for key, value in said.items():
        setattr(managed.tensor, key, value)
    name = name or (b"dltensor_versioned" if versioned else b"dltensor")
    ALIVE.append((managed, said, name))
    return new_capsule(ctypes.addressof(managed), name, None)


HUGE = 1 << 62
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "dimensions": ({"ndim": 10**9}, "logits has 1000000000 dimensions; pass a matrix"),
    "most dimensions": ({"ndim": 2**31 - 1}, "logits has 2147483647 dimensions"),
    "65 dimensions": ({"ndim": 65, "shape": [1] * 65}, "logits has 65 dimensions"),
    "64 dimensions": ({"ndim": 64, "shape": [1] * 64}, r"logits must be \(2B, C\)"),
    "no dimensions": ({"ndim": 0}, r"logits must be \(2B, C\)"),
    "negative dimensions": ({"ndim": -1}, "logits has -1 dimensions"),
    "no shape": ({"shape": None}, "logits has 2 dimensions, but .* no shape"),
    "negative side": ({"shape": [-10, 7]}, "logits has a negative side"),
    "least side": ({"shape": [10, -(2**63)]}, "logits has a negative side"),
    "huge": ({"shape": [HUGE, HUGE]}, "logits of shape .* is larger than the memory"),
    "huge once": ({"shape": [2, HUGE]}, "logits of shape .* is larger than the memory"),
    "huge and empty": ({"shape": [HUGE, 0]}, "with C >= 1"),
    "huge without rows": ({"shape": [0, HUGE]}, "got 0 rows"),
    "huge with strides": ({"shape": [HUGE, HUGE], "strides": [HUGE, 1]}, "logits of shape"),
    "strides": ({"strides": [-7, 1]}, "logits must be C-contiguous"),
    "least strides": ({"strides": [-(2**63), -(2**63)]}, "logits must be C-contiguous"),
    "no memory": ({"data": None}, "logits of shape .* has no memory"),
    "far offset": ({"byte_offset": 2**64 - 8}, "logits of shape .* is larger than the memory"),
    "unaligned": ({"byte_offset": 1}, "logits must be aligned to its 4 bytes"),
    "device": ({"device_type": 2}, "logits must be in CPU memory"),
    "no device": ({"device_type": -1}, "logits must be in CPU memory"),
    "dtype": ({"code": 200, "bits": 0}, "logits must be float16, .* got DLPack type 200"),
    "no bits": ({"bits": 0}, "logits must be float16, .* got float0"),
    "no bits and huge": ({"bits": 0, "shape": [HUGE, HUGE]}, "logits of shape"),
    "lanes": ({"lanes": 4}, "logits must be float16"),
    "no lanes": ({"lanes": 0}, "logits must be float16"),
    "name": ({"name": b"tensor"}, "logits: a capsule that is not a DLPack tensor"),
    "used": ({"name": b"used_dltensor"}, "logits: a capsule that is not .* used before"),
}


@pytest.mark.parametrize("versioned", [False, True], ids=["legacy", "versioned"])
def test_an_honest_capsule_is_taken(versioned: bool) -> None:
    for fields in ({}, {"strides": [7, 1]}):
        loss = tied_loss(capsule(versioned, **fields), FEATURES, TARGET, grad=False)[0]
        assert loss == EXPECTED


@pytest.mark.parametrize("versioned", [False, True], ids=["legacy", "versioned"])
@pytest.mark.parametrize("case", REFUSED)
def test_a_capsule_that_lies_is_refused(case: str, versioned: bool) -> None:
    fields, message = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=message):
        tied_loss(capsule(versioned, **fields), FEATURES, TARGET, grad=False)


def test_a_later_version_is_refused() -> None:
    with pytest.raises(ValueError, match="logits: exported with a later DLPack"):
        tied_loss(capsule(True, major=2), FEATURES, TARGET, grad=False)


class Producer:
    """Gives what it was told to, or raises it."""

    def __init__(self, device: object, exported: object) -> None:
        self.device, self.exported = device, exported

    def __dlpack_device__(self) -> object:
        if isinstance(self.device, BaseException):
            raise self.device
        return self.device

    def __dlpack__(self, **keywords: object) -> object:
        if isinstance(self.exported, BaseException):
            raise self.exported
        return self.exported


class WithoutDevice:
    def __dlpack__(self) -> object:
        return LOGITS.__dlpack__()


@pytest.mark.parametrize(
    "producer",
    [
        Producer((1 << 40, 0), None),
        Producer((-(1 << 31), 0), None),
        Producer("cpu", None),
        Producer(None, None),
        Producer((1,), None),
        Producer(AttributeError("lost"), None),
        Producer((1, 0), None),
        Producer((1, 0), LOGITS),
        Producer((1, 0), AttributeError("lost")),
        Producer((1, 0), OverflowError("lost")),
        WithoutDevice(),
    ],
    ids=lambda producer: str(vars(producer))[:60],
)
def test_producers_that_fail(producer: object) -> None:
    with pytest.raises((ValueError, TypeError), match=r"^features"):
        tied_loss(LOGITS, producer, TARGET, grad=False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("in_device", [True, False])
def test_what_is_not_an_exception_passes(error: type[BaseException], in_device: bool) -> None:
    producer = Producer(error("stop"), None) if in_device else Producer((1, 0), error("stop"))
    with pytest.raises(error, match=r"^stop$"):
        tied_loss(LOGITS, producer, TARGET, grad=False)


def test_what_is_refused_is_released() -> None:
    released = []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def deleter(_: object) -> None:
        released.append(True)

    taken = capsule(True, ndim=10**9)
    managed = ALIVE[-1][0]
    managed.deleter = ctypes.cast(deleter, ctypes.c_void_p)
    with pytest.raises(ValueError, match="dimensions"):
        tied_loss(taken, FEATURES, TARGET, grad=False)
    assert released == [True]
    assert math.isfinite(EXPECTED)

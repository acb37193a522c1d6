"""What crosses the border: everything that is plain comes back as it went, and no bytes can do more than be refused."""

from __future__ import annotations

import math
import random
import struct
import time
import tracemalloc
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

from grader.logic import wire
from grader.logic.wire import Handle, NotPlain, decode, encode, frame, frame_length
from grader.model.errors import WireError

PLAIN = [
    None, True, False, 0, -1, 2**63, -(2**64), 10**3000, 0.0, -0.0, 1e308, 5e-324, math.inf, -math.inf, 1 + 2j,
    "", "text", "Gewürz √ 🙂", "\ud800", "line\nbreak\0", b"", b"\x00\xff", [], (), {}, [1, [2, [3, []]]], (1, (2,)),
    {"a": 1, 2: "b", None: [], (1, "x"): {}, 2.5: (), b"k": None, True: 0}, Handle(7, "Counter"),
    [None, {"q": (1.5, [b"x"])}],
]  # fmt: skip
SHAPES = [(), (0,), (1,), (3,), (2, 3), (2, 0, 4), (1, 2, 3, 2), (1,) * 32]


def same(one: Any, other: Any) -> bool:
    """Equal in value, and in every type on the way."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (np.ndarray, np.generic)):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    return one == other


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize(
    "lie", [(1, True), (1, 1.0), ([1], (1,)), (0.0, -0.0), (np.zeros(2), np.zeros(2, "f4")), ({1: 2}, {1: 3})]
)
def test_the_comparison_in_this_file_sees_a_difference(lie: tuple[Any, Any]) -> None:
    assert not same(*lie)


@pytest.mark.parametrize("value", PLAIN, ids=map(str, range(len(PLAIN))))
def test_plain_data_comes_back_as_it_went(value: Any) -> None:
    assert same(decode(encode(value)), value)


def test_nan_comes_back() -> None:
    assert math.isnan(decode(encode(math.nan)))


@pytest.mark.parametrize("dtype", wire.DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_arrays_of_every_dtype_and_shape_come_back(dtype: np.dtype, shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)

    back = decode(encode(array))

    assert same(back, array)
    assert back.flags.writeable and back.flags.owndata


@pytest.mark.parametrize("dtype", wire.DTYPES, ids=str)
def test_numpy_numbers_come_back(dtype: np.dtype) -> None:
    number = np.ones((), dtype)[()]

    assert same(decode(encode(number)), number)


def test_any_layout_in_memory_comes_back_as_its_numbers() -> None:
    array = np.arange(24.0).reshape(4, 6)

    for view in (array.T, array[::-1, ::2], array[:, 1], np.broadcast_to(array[0], (3, 6)), np.asfortranarray(array)):
        assert np.array_equal(decode(encode(view)), view)
    assert np.array_equal(decode(encode(array.astype(">f8"))), array)


def test_many_keys_of_every_kind_are_no_trouble() -> None:
    merges = {(first, second): first for first in range(200) for second in range(200)}
    numbers = {number * 2**20: None for number in range(20_000)}

    assert decode(encode(merges)) == merges
    assert decode(encode(numbers)) == numbers


# ---------------------------------------------------------------- what does not go


class Text(str):
    pass


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    "value",
    [
        object(), Text("x"), Pair(1, 2), OrderedDict(a=1), {1, 2}, range(3), len, int, slice(None), memoryview(b"x"),
        bytearray(b"x"), NotImplemented, ..., 1 << 100_000, ValueError("x"), np.array([None]), np.array(["text"]),
        np.zeros(2, "M8[s]"), np.zeros(2, [("a", "f8")]), np.zeros(2, "V4"), np.zeros((1, 1)).view(np.matrix), np.ma.array([1.0]),
        np.zeros(2).view(np.recarray), np.datetime64("2020-01-01"), np.str_("x"), [1, [object()]], {"a": object()},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_not_plain_does_not_go(value: Any) -> None:
    with pytest.raises(NotPlain):
        encode(value)


def test_what_is_nested_too_deep_does_not_go() -> None:
    deep: list[Any] = []
    for _ in range(wire.MAX_DEPTH + 5):
        deep = [deep]
    endless: list[Any] = []
    endless.append(endless)

    for value in (deep, endless):
        with pytest.raises(NotPlain):
            encode(value)


# ---------------------------------------------------------------- malformed frames

SIZE = struct.Struct(">I").pack


def _array(code: int, *shape: int, raw: bytes = b"", tag: bytes = b"a", dimensions: int | None = None) -> bytes:
    return (
        tag
        + bytes([code, len(shape) if dimensions is None else dimensions])
        + struct.pack(f">{len(shape)}Q", *shape)
        + raw
    )


MALFORMED = {
    "nothing": b"",
    "an unknown tag": b"?",
    "a byte too many": b"N\0",
    "half a float": b"f\0\0\0",
    "half a complex number": b"c" + bytes(15),
    "half a length": b"s\0\0",
    "a text that is longer than the frame": b"s" + SIZE(10) + b"short",
    "a text of four gigabytes": b"s\xff\xff\xff\xff",
    "a text that is not UTF-8": b"s" + SIZE(2) + b"\xff\xfe",
    "bytes of four gigabytes": b"b\xff\xff\xff\xff",
    "a list of four thousand million values": b"l\xff\xff\xff\xff" + b"N" * 100,
    "a list with a value missing": b"l" + SIZE(2) + b"N",
    "a dict of four thousand million entries": b"d\xff\xff\xff\xff" + b"N" * 100,
    "a dict with half an entry": b"d" + SIZE(1) + b"N",
    "a list as a key": b"d" + SIZE(1) + b"l" + SIZE(0) + b"N",
    "a dict as a key": b"d" + SIZE(1) + b"d" + SIZE(0) + b"N",
    "an array as a key": b"d" + SIZE(1) + _array(11, 0) + b"N",
    "a tuple with a list as a key": b"d" + SIZE(1) + b"t" + SIZE(1) + b"l" + SIZE(0) + b"N",
    "an integer of no digits": b"i" + SIZE(0),
    "an integer of a sign": b"i" + SIZE(1) + b"-",
    "an integer of letters": b"i" + SIZE(3) + b"0x1",
    "an integer with spaces and underscores": b"i" + SIZE(4) + b" 1_0",
    "an integer with two signs": b"i" + SIZE(3) + b"--1",
    "an integer in other digits": b"i" + SIZE(2) + "٣".encode(),
    "an integer of a hundred thousand digits": b"i" + SIZE(100_000) + b"9" * 100_000,
    "an array without a head": b"a",
    "an array of an unknown dtype": _array(14, 1, raw=bytes(8)),
    "an array of the last code": _array(255, 1, raw=bytes(8)),
    "an array of too many axes": _array(11, *[1] * 33, raw=bytes(8)),
    "an array with its shape missing": _array(11, dimensions=5),
    "an array with a number missing": _array(11, 3, raw=bytes(16)),
    "an array of exabytes": _array(11, 1 << 60),
    "an array whose size overflows": _array(11, 1 << 63, 1 << 63, raw=bytes(8)),
    "an array whose size overflows to nothing": _array(11, 1 << 32, 1 << 32, raw=bytes(8)),
    "an empty array with an endless axis": _array(11, 0, 1 << 60),
    "an empty array of many long axes": _array(11, 0, 1 << 28, 1 << 28, 1 << 28),
    "an empty array of thirty long axes": _array(11, 0, *[1 << 20] * 30),
    "a boolean that is neither": _array(0, 2, raw=b"\x01\x02"),
    "a numpy number with an axis": _array(11, 1, raw=bytes(8), tag=b"g"),
    "a numpy number without its bytes": _array(11, tag=b"g"),
    "a handle without a name": b"h" + bytes(8),
    "a handle without a number": b"h" + bytes(3),
    "a handle with an endless name": b"h" + bytes(8) + SIZE(5000) + b"n" * 5000,
    "lists in lists in lists": (b"l" + SIZE(1)) * 100_000 + b"N",
    "tuples in dicts in tuples": (b"d" + SIZE(1) + b"N" + b"t" + SIZE(1)) * 10_000 + b"N",
    "too many values": b"l" + SIZE(1_000_001) + b"N" * 1_000_001,
    "too many values in small lists": b"l" + SIZE(1000) + (b"l" + SIZE(1200) + b"N" * 1200) * 1000,
    "a pickle": b"\x80\x04}\x8c\x05valueK\x01s.",
    "JSON": b'{"value": 1}',
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_frame_is_refused(name: str) -> None:
    with pytest.raises(WireError):
        decode(MALFORMED[name])


def test_keys_with_the_same_hash_are_refused_before_they_cost_anything() -> None:
    step = 2**61 - 1  # the modulus of Python's hash of numbers
    whole = [str(step * number).encode() for number in range(60_000)]
    body = b"d" + SIZE(len(whole)) + b"".join(b"i" + SIZE(len(text)) + text + b"N" for text in whole)
    began = time.perf_counter()

    with pytest.raises(WireError, match="hash"):
        decode(body)

    assert time.perf_counter() - began < 1.0


def test_keys_that_cannot_be_compared_are_refused() -> None:
    collided = next(pair for pair in ((1, other) for other in range(10_000)) if 0 <= hash(pair) < 2**61 - 1)
    keys = [np.int64(hash(collided)), collided]  # equal hashes, and numpy's == gives an array
    body = b"d" + SIZE(2) + b"".join(encode(key) + b"N" for key in keys)

    with pytest.raises(WireError):
        decode(body)


def test_the_length_of_a_frame_is_compared_before_anything_is_read() -> None:
    assert frame_length(wire.LENGTH.pack(5)) == 5
    assert frame_length(frame([1, 2])[:8]) == len(encode([1, 2]))
    for length, limit in [(2**64 - 1, wire.MAX_FRAME), (wire.MAX_FRAME + 1, wire.MAX_FRAME), (11, 10)]:
        with pytest.raises(WireError):
            frame_length(wire.LENGTH.pack(length), limit)


def test_announcements_cost_no_memory() -> None:
    tracemalloc.start()
    try:
        for body in MALFORMED.values():
            if len(body) < 10_000:
                with pytest.raises(WireError):
                    decode(body)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------- whatever bytes


def _refused_or_plain(data: bytes) -> bool:
    """Whether the decoder refused the bytes. Anything that it raises but `WireError` fails the test that asks."""
    try:
        value = decode(data)
    except WireError:
        return True
    encode(value)
    return False


def test_random_bytes_are_refused_or_plain() -> None:
    draw = random.Random(20_000)
    tags = bytes(wire._READERS)

    refused = 0
    for _ in range(10_000):
        data = bytearray(draw.randbytes(draw.randrange(60)))
        for _ in range(draw.randrange(4)):
            if data:  # a byte that begins a value, where one may be looked for
                data[draw.randrange(len(data))] = draw.choice(tags)
        if data and draw.random() < 0.9:
            data[0] = draw.choice(tags)
        refused += _refused_or_plain(bytes(data))

    assert 5_000 < refused < 10_000


def test_mutated_frames_are_refused_or_plain() -> None:
    draw = random.Random(20_001)
    originals = [encode(value) for value in PLAIN]
    originals += [
        encode([np.arange(6.0).reshape(shape), {"k": np.float32(1)}, "t", 5]) for shape in [(6,), (2, 3), (1, 6, 1)]
    ]
    originals += [
        encode({1: np.zeros((2, 0, 3)), (1, 2): True, np.int8(3): b"x"}),
        encode(("value", np.eye(3), [np.ones(2)])),
    ]

    refused = 0
    for _ in range(10_000):
        data = bytearray(draw.choice(originals))
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(data) + 1)
            kind = draw.randrange(5)
            if kind == 0:
                data[at : at + draw.randrange(9)] = b""
            elif kind == 1:
                data[at:at] = draw.randbytes(draw.randrange(9))
            elif kind == 2:
                data[at : at + 4] = draw.choice([b"\xff" * 4, bytes(4), SIZE(1), SIZE(1 << 20)])
            elif kind == 3:
                data[at:at] = draw.choice(originals)
            else:
                data[at : at + 1] = draw.randbytes(1)
        refused += _refused_or_plain(bytes(data))

    assert 5_000 < refused < 10_000


def test_an_array_of_more_axes_than_are_read_does_not_go() -> None:
    with pytest.raises(NotPlain):
        encode(np.zeros((1,) * 33))

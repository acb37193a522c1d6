"""Tensors as plain data: bfloat16 rounds as torch does, and every tensor crosses the border as it is or not at all."""

from __future__ import annotations

import math
import random
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest

from grader.logic import wire
from grader.logic.tensors import Tensor, dtype_name, from_bfloat16, numbers_of, tensor, to_bfloat16
from grader.logic.wire import NotPlain, decode, encode
from grader.model.errors import WireError
from grader.system import modules

torch = pytest.importorskip("torch")

DTYPES = [*map(str, wire.DTYPES), "bfloat16"]
SHAPES = [(), (0,), (1,), (3,), (2, 3), (2, 0, 4), (1, 2, 3, 2)]


def of_dtype(dtype: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor of different numbers; what has no sign is counted from 0."""
    first = 0 if dtype.startswith("uint") else -1.5
    return tensor(np.arange(math.prod(shape)).reshape(shape) + first, dtype)


def same(one: Tensor, other: Any) -> bool:
    """Equal in every bit, in dtype and in shape."""
    return (
        type(other) is Tensor
        and one.dtype == other.dtype
        and one.raw.dtype == other.raw.dtype
        and one.shape == other.shape
        and one.raw.tobytes() == other.raw.tobytes()
    )


@pytest.mark.parametrize(
    "lie",
    [np.ones(2), tensor(np.ones(2)), tensor(np.ones((1, 2)), "float32"), tensor([1.0, -1.0], "float32"), None],
    ids=["an array", "dtype", "shape", "numbers", "nothing"],
)
def test_the_comparison_in_this_file_sees_a_difference(lie: Any) -> None:
    assert not same(tensor(np.ones(2), "float32"), lie)
    assert not same(tensor([1.0], "bfloat16"), tensor([16256], "uint16"))


# ---------------------------------------------------------------- bfloat16


def torch_bits(array: np.ndarray) -> np.ndarray:
    """What torch makes of float32 numbers in bfloat16."""
    return torch.from_numpy(array.copy()).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)


def agrees_with_torch(bits: np.ndarray) -> bool:
    """Whether float32 numbers, given as bits, become the same bfloat16 here and in torch; any NaN is a NaN."""
    numbers = bits.astype(np.uint32).view(np.float32)
    mine, theirs = to_bfloat16(numbers), torch_bits(numbers)
    nan = np.isnan(numbers)
    assert np.isnan(from_bfloat16(mine[nan])).all() and np.isnan(from_bfloat16(theirs[nan])).all()
    return bool((mine[~nan] == theirs[~nan]).all())


def test_every_bfloat16_number_stays_what_it_is() -> None:
    every = np.arange(1 << 16, dtype=np.uint16)

    numbers = from_bfloat16(every)

    again = to_bfloat16(numbers)
    assert (again[~np.isnan(numbers)] == every[~np.isnan(numbers)]).all()
    assert np.isnan(numbers).sum() == 2 * 127 and np.isnan(from_bfloat16(again[np.isnan(numbers)])).all()
    theirs = torch.from_numpy(every.view(np.int16)).view(torch.bfloat16).float().numpy()
    assert np.array_equal(numbers, theirs, equal_nan=True)


@pytest.mark.parametrize("low", [0x0000, 0x0001, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
def test_rounding_is_torch_s_around_every_tie(low: int) -> None:
    assert agrees_with_torch(np.arange(1 << 16, dtype=np.uint32) << 16 | low)


def test_rounding_is_torch_s_for_many_numbers() -> None:
    bits = np.random.default_rng(0).integers(0, 1 << 32, 200_000, dtype=np.uint32)
    subnormal = bits & np.uint32(0x807FFFFF)

    assert agrees_with_torch(bits) and agrees_with_torch(subnormal)


@pytest.mark.parametrize(
    ("number", "rounded"),
    [
        (1.00390625, 1.0),  # a tie, to the even one below
        (1.01171875, 1.015625),  # a tie, to the even one above
        (1.00390637, 1.0078125),
        (-1.01171875, -1.015625),
        (3.4028235e38, math.inf),  # the largest float32 is beyond the largest bfloat16
        (-3.4028235e38, -math.inf),
        (3.3895314e38, 3.3895314e38),
        (1e-40, 2.0**-133),  # subnormal
        (1e-45, 0.0),
        (-0.0, -0.0),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
    ],
)
def test_rounding_by_hand(number: float, rounded: float) -> None:
    got = tensor(number, "bfloat16").array.item()

    assert got == pytest.approx(rounded, rel=1e-6, abs=0) and math.copysign(1, got) == math.copysign(1, rounded)


@pytest.mark.parametrize("bits", [0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000], ids=hex)
def test_no_nan_becomes_a_number(bits: int) -> None:
    number = np.array([bits], np.uint32).view(np.float32)

    assert np.isnan(tensor(number, "bfloat16").array).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bfloat16_keeps_shape_and_layout(shape: tuple[int, ...]) -> None:
    array = np.array(np.arange(math.prod(shape), dtype=np.float32).reshape(shape), order="F")

    rounded = tensor(array, "bfloat16")

    assert (rounded.shape, rounded.ndim, rounded.size) == (shape, len(shape), array.size)
    assert np.array_equal(rounded.array, array) and rounded.array.dtype == np.float32
    assert type(rounded.array) is type(np.asarray(rounded)) is np.ndarray and np.asarray(rounded).shape == shape
    assert rounded.raw.dtype == np.uint16 and rounded.raw.flags.f_contiguous


# ---------------------------------------------------------------- a tensor by hand


def test_a_tensor_is_read_as_an_array() -> None:
    half = tensor([[1.0, 2.0], [3.0, 4.0]], "bfloat16")

    assert np.asarray(half).dtype == np.float32 and np.asarray(half).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert np.asarray(half, dtype="float64").dtype == np.float64
    assert (dtype_name(half), dtype_name(np.zeros(1, "int8")), dtype_name(np.float16(1))) == (
        "bfloat16",
        "int8",
        "float16",
    )
    assert numbers_of(half).tolist() == half.array.tolist() and numbers_of("text") == "text"


def test_a_copy_of_a_tensor_s_array_is_one() -> None:
    original = tensor(np.zeros(3))
    copy = np.array(original)

    copy[0] = 5.0

    assert original.array.tolist() == [0.0, 0.0, 0.0]


def test_a_tensor_of_a_tensor_has_its_numbers_in_the_dtype_wanted() -> None:
    x = tensor([1.5, -2.25, 1.00390625], "bfloat16")

    assert (tensor(x).dtype, tensor(x, "float64").dtype, tensor(x, "float16").dtype) == (
        "float32",
        "float64",
        "float16",
    )
    assert tensor(x, "float64").array.tolist() == [1.5, -2.25, 1.0]
    assert tensor([1, 2]).dtype == "int64" and tensor(2.5).shape == () and tensor([True]).dtype == "bool"


def test_a_tensor_is_no_key() -> None:
    with pytest.raises(TypeError):
        hash(tensor(1.0))


# ---------------------------------------------------------------- to torch and back


@pytest.mark.parametrize("dtype", modules.NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_dtype_becomes_a_torch_tensor_and_comes_back(dtype: str, shape: tuple[int, ...]) -> None:
    plain = of_dtype(dtype, shape)

    there = modules.to_torch(plain)

    assert (there.dtype, tuple(there.shape)) == (getattr(torch, dtype), shape)
    assert there.tolist() == plain.array.tolist()
    assert same(plain, modules.from_torch(there))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
def test_columns_stay_columns_on_the_way_to_torch(dtype: str) -> None:
    by_columns = tensor(np.asfortranarray(np.arange(6.0).reshape(2, 3)), dtype)

    there = modules.to_torch(decode(encode(by_columns)))

    assert there.stride() == (1, 2) and not there.is_contiguous()
    assert there.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_what_a_torch_tensor_is_only_in_part_comes_back_as_its_numbers() -> None:
    base = torch.arange(24.0).reshape(4, 6)
    views = [base.T, base[1:, ::2], base[0].expand(3, 6), base.unsqueeze(1), torch.tensor([1 + 2j]).conj().imag]

    for view in [*views, *(view.bfloat16().transpose(0, -1) for view in views)]:
        back = modules.from_torch(view)
        assert back.array.tolist() == view.tolist() and back.shape == tuple(view.shape)


def test_what_comes_back_is_a_copy() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        original = torch.ones(3, dtype=dtype)
        back = modules.from_torch(original)

        original.zero_()

        assert back.array.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "other",
    [
        "x",
        np.zeros(2),
        torch.zeros(2, device="meta"),
        torch.eye(2).to_sparse(),
        torch.zeros(2, dtype=torch.float8_e5m2),
        torch.zeros(2, dtype=torch.uint16),
    ],
    ids=["text", "numpy", "meta", "sparse", "float8", "uint16"],
)
def test_what_cannot_cross_is_known(other: Any) -> None:
    assert not modules.is_tensor(other)
    assert modules.is_tensor(torch.zeros(2)) and modules.is_tensor(torch.nn.Parameter(torch.zeros(2)))


# ---------------------------------------------------------------- the wire


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tensors_of_every_dtype_and_shape_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    original = of_dtype(dtype, shape)

    back = decode(encode(original))

    assert same(original, back)
    assert back.raw.flags.writeable and back.raw.flags.owndata


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_by_columns_stay_so(dtype: str) -> None:
    original = of_dtype(dtype, (2, 3))
    by_columns = Tensor(np.asfortranarray(original.raw), original.dtype)

    back = decode(encode(by_columns))

    assert back.raw.flags.f_contiguous and not back.raw.flags.c_contiguous
    assert np.array_equal(back.raw, original.raw) and back.dtype == dtype


def test_tensors_arrays_and_numbers_stay_three_things() -> None:
    value = [np.ones(2, "float32"), tensor(np.ones(2, "float32")), np.float32(1), {"a": (tensor(1.0), 1.0)}]

    back = decode(encode(value))

    assert [type(item) for item in back[:3]] == [np.ndarray, Tensor, np.float32]
    assert [type(item) for item in back[3]["a"]] == [Tensor, float]


def test_nan_and_infinity_come_back() -> None:
    for dtype in ("float32", "bfloat16"):
        back = decode(encode(tensor([math.nan, math.inf, -math.inf, -0.0], dtype))).array

        assert np.isnan(back[0]) and back[1:].tolist() == [math.inf, -math.inf, 0.0] and np.signbit(back[3])


@pytest.mark.parametrize("raw", [np.array([None]), np.array(["a"]), np.zeros(1, "M8[s]"), np.zeros(1, np.longdouble)])
def test_a_tensor_of_what_is_not_plain_does_not_go(raw: np.ndarray) -> None:
    with pytest.raises(NotPlain):
        encode(Tensor(raw, "float32"))


def test_a_subclass_of_tensor_does_not_go() -> None:
    class Own(Tensor):
        pass

    with pytest.raises(NotPlain):
        encode(Own(np.zeros(1), "float64"))


def framed(tag: bytes, code: int, *shape: int, raw: bytes = b"", axes: int | None = None) -> bytes:
    """The bytes of a tensor that may be none."""
    head = bytes([code, len(shape) if axes is None else axes])
    return tag + head + struct.pack(f">{len(shape)}Q", *shape) + raw


UINT16, FLOAT32 = 6, 10
MALFORMED = {
    "no head": b"x",
    "half a head": b"y" + bytes([FLOAT32]),
    "no shape": framed(b"y", FLOAT32, axes=3),
    "a number missing": framed(b"y", FLOAT32, 3, raw=bytes(8)),
    "a byte too many": framed(b"y", FLOAT32, 1, raw=bytes(5)),
    "an unknown dtype": framed(b"y", 14, 1, raw=bytes(8)),
    "an unknown dtype by columns": framed(b"y", 0x80 | 14, 1, raw=bytes(8)),
    "too many axes": framed(b"y", FLOAT32, *[1] * 33, raw=bytes(4)),
    "exabytes": framed(b"x", UINT16, 1 << 60),
    "a size that overflows to nothing": framed(b"x", UINT16, 1 << 32, 1 << 32, raw=bytes(2)),
    "nothing with an endless axis": framed(b"x", UINT16, 0, 1 << 60),
    "a boolean that is neither": framed(b"y", 0, 2, raw=b"\1\2"),
    "bfloat16 of float32": framed(b"x", FLOAT32, 1, raw=bytes(4)),
    "bfloat16 of int16": framed(b"x", 2, 1, raw=bytes(2)),
    "bfloat16 of uint8": framed(b"x", 5, 2, raw=bytes(2)),
    "bfloat16 with half a number": framed(b"x", UINT16, 1, raw=b"\1"),
    "a tensor as a key": b"d" + struct.pack(">I", 1) + framed(b"y", FLOAT32, raw=bytes(4)) + b"N",
}


def test_the_codes_in_this_file_are_the_wire_s() -> None:
    assert (wire.DTYPES[UINT16], wire.DTYPES[FLOAT32]) == (np.dtype("uint16"), np.dtype("float32"))
    assert same(decode(framed(b"x", UINT16, 1, raw=b"\x80\x3f")), tensor([1.0], "bfloat16"))
    assert same(decode(framed(b"y", FLOAT32, raw=struct.pack("<f", 2.5))), tensor(2.5, "float32"))


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_frames_are_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        decode(body)


def test_mutated_frames_are_refused_or_plain() -> None:
    draw = random.Random(20_002)
    originals = [encode(of_dtype(dtype, shape)) for dtype in DTYPES for shape in [(), (3,), (2, 0), (2, 3)]]
    originals += [encode({"w": [tensor(np.ones(2), "bfloat16"), None], "b": tensor(1.0)})]

    refused = 0
    for _ in range(5_000):
        data = bytearray(draw.choice(originals))
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(data) + 1)
            data[at : at + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
        try:
            encode(decode(bytes(data)))
        except WireError:
            refused += 1

    assert 2_000 < refused < 5_000


def test_an_announcement_of_exabytes_costs_no_memory() -> None:
    tracemalloc.start()
    try:
        for body in MALFORMED.values():
            with pytest.raises(WireError):
                decode(body)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()

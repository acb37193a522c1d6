"""What crosses the border between grader and worker: frames of plain data, and nothing else.

A frame is a length (8 bytes, big endian) and one encoded value. A value is None, a boolean, a number, a string,
bytes, a list, tuple or dict of values, a numpy array or number as raw bytes with dtype and shape, a `Tensor` as the same,
or a `Handle`: the number of an object that stays on the other side. There is no way to write down anything that runs.

The decoder trusts nothing: every length is compared with what is really there before a byte is read, dtypes come
from a fixed list, depth and the count of values are bounded.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from grader.logic.tensors import BFLOAT16, Tensor, name_of
from grader.model.errors import WireError

LENGTH = struct.Struct(">Q")
MAX_FRAME = 256 * 1024 * 1024
MAX_DEPTH = 32
MAX_VALUES = 1_000_000
MAX_DIMENSIONS = 32
MAX_INT_DIGITS = 4000
BY_COLUMNS = 0x80  # in the byte of the dtype: the array lies in memory column by column, and stays so
MAX_NAME = 200
MAX_SAME_HASH = 16  # of keys in one dict: more of them are made, not met

DTYPES = tuple(
    np.dtype(name)
    for name in (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64", "complex64", "complex128",
    )
)  # fmt: skip
_ITEM_SIZES = tuple(dtype.itemsize for dtype in DTYPES)
_DTYPE_CODE = {dtype: code for code, dtype in enumerate(DTYPES)}

_DOUBLE = struct.Struct(">d")
_COMPLEX = struct.Struct(">dd")
_SIZE = struct.Struct(">I")
_ARRAY_HEAD = struct.Struct(">BB")
_SHAPES = tuple(struct.Struct(f">{dimensions}Q") for dimensions in range(MAX_DIMENSIONS + 1))


@dataclass(frozen=True)
class Handle:
    """An object that stayed on the worker's side: its number there and the name of its type."""

    number: int
    type_name: str


class NotPlain(TypeError):
    """A value that may not cross; ``value`` is the culprit."""

    def __init__(self, value: object) -> None:
        super().__init__(f"{type(value).__name__} is not plain data")
        self.value = value


def encode(value: Any) -> bytes:
    """The bytes of one value (without the frame's length). Raises `NotPlain` for anything that is not plain data."""
    parts: list[bytes] = []
    _encode(value, parts.append, 0)
    return b"".join(parts)


def frame(value: Any) -> bytes:
    """One whole frame: length and value."""
    return framed(encode(value))


def framed(body: bytes) -> bytes:
    """The bytes of one value with their length before them."""
    return LENGTH.pack(len(body)) + body


def decode(data: bytes | memoryview) -> Any:
    """The value of one frame's body. Raises `WireError` if the bytes are not exactly one well-formed value."""
    reader = _Reader(bytes(data))
    value = reader.value(0)
    if reader.at != len(reader.data):
        raise WireError(f"{len(reader.data) - reader.at} bytes follow the value")
    return value


def frame_length(head: bytes, limit: int = MAX_FRAME) -> int:
    """The length that a frame's head announces; `WireError` when it is over ``limit``, before anything is read."""
    (length,) = LENGTH.unpack(head)
    if length > limit:
        raise WireError(f"a frame of {length} bytes was announced; the limit is {limit}")
    return length


def _encode(value: Any, put: Any, depth: int) -> None:
    # Only exact types pass: a subclass could behave in ways that its bytes do not show.
    if depth > MAX_DEPTH:
        raise NotPlain(value)
    kind = type(value)
    if kind is np.ndarray:
        _encode_array(value, put, b"a")
    elif kind is Tensor:
        _encode_array(value.raw, put, b"x" if value.dtype == BFLOAT16 else b"y")
    elif value is None:
        put(b"N")
    elif kind is bool:
        put(b"T" if value else b"F")
    elif kind is int:
        _encode_int(value, put)
    elif kind is float:
        put(b"f" + _DOUBLE.pack(value))
    elif kind is str:
        data = value.encode("utf-8", "surrogatepass")
        put(b"s" + _SIZE.pack(len(data)) + data)
    elif kind is bytes:
        put(b"b" + _SIZE.pack(len(value)) + value)
    elif kind is list or kind is tuple:
        put((b"l" if kind is list else b"t") + _SIZE.pack(len(value)))
        for item in value:
            _encode(item, put, depth + 1)
    elif kind is dict:
        put(b"d" + _SIZE.pack(len(value)))
        for key, item in value.items():
            _encode(key, put, depth + 1)
            _encode(item, put, depth + 1)
    elif kind is Handle:
        name = value.type_name.encode("utf-8", "replace")[:MAX_NAME]
        put(b"h" + LENGTH.pack(value.number) + _SIZE.pack(len(name)) + name)
    elif kind is complex:
        put(b"c" + _COMPLEX.pack(value.real, value.imag))
    elif isinstance(value, np.generic) and value.dtype in _DTYPE_CODE:
        _encode_array(np.asarray(value), put, b"g")
    else:
        raise NotPlain(value)


def _encode_int(value: int, put: Any) -> None:
    if value.bit_length() > MAX_INT_DIGITS * 3:
        raise NotPlain(value)
    digits = str(value).encode("ascii")
    put(b"i" + _SIZE.pack(len(digits)) + digits)


def _encode_array(array: np.ndarray, put: Any, tag: bytes) -> None:
    code = _DTYPE_CODE.get(array.dtype.newbyteorder("="))
    if code is None or array.ndim > MAX_DIMENSIONS:
        raise NotPlain(array)
    by_columns = array.flags.f_contiguous and not array.flags.c_contiguous
    put(tag + _ARRAY_HEAD.pack(code | BY_COLUMNS if by_columns else code, array.ndim))
    put(_SHAPES[array.ndim].pack(*array.shape))
    put(array.astype(DTYPES[code], copy=False).tobytes("F" if by_columns else "C"))


class _Reader:
    """Reads one value after another from bytes of known length; every length is compared before it is used.

    Each method reads what follows its tag. They are called hundreds of times for each submission, so each does all of its work itself.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.end = len(data)
        self.at = 0
        self.values = 0

    def value(self, depth: int) -> Any:
        self.values += 1
        if depth > MAX_DEPTH or self.values > MAX_VALUES:
            raise WireError("a value is nested too deep or holds too many values")
        if self.at >= self.end:
            raise WireError("a value is missing")
        tag = self.data[self.at]
        self.at += 1
        read = _READERS.get(tag)
        if read is None:
            raise WireError(f"no value begins with the byte {tag}")
        return read(self, depth)

    def take(self, count: int) -> bytes:
        start = self.at
        self.at = start + count
        if self.at > self.end:
            raise WireError(f"{count} bytes were announced, {self.end - start} are there")
        return self.data[start : self.at]

    def sized(self, depth: int = 0) -> bytes:
        start = self.at + 4
        self.at = start + int.from_bytes(self.data[self.at : start], "big")
        if self.at > self.end:
            raise WireError(f"{self.at - start} bytes were announced, {max(self.end - start, 0)} are there")
        return self.data[start : self.at]

    def count(self, bytes_each: int) -> int:
        count = int.from_bytes(self.take(4), "big")
        if count * bytes_each > self.end - self.at:
            raise WireError(f"{count} values were announced, {self.end - self.at} bytes are there")
        return count

    def none(self, depth: int) -> None:
        return None

    def true(self, depth: int) -> bool:
        return True

    def false(self, depth: int) -> bool:
        return False

    def integer(self, depth: int) -> int:
        digits = self.sized()
        body = digits[1:] if digits[:1] == b"-" else digits
        if not body.isdigit() or len(body) > MAX_INT_DIGITS:
            raise WireError("a whole number is not written in digits")
        return int(digits)

    def real(self, depth: int) -> float:
        return _DOUBLE.unpack(self.take(8))[0]

    def a_complex(self, depth: int) -> complex:
        return complex(*_COMPLEX.unpack(self.take(16)))

    def text(self, depth: int = 0) -> str:
        try:
            return self.sized().decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise WireError("a string is not UTF-8") from error

    def a_list(self, depth: int) -> list[Any]:
        return [self.value(depth + 1) for _ in range(self.count(1))]

    def a_tuple(self, depth: int) -> tuple[Any, ...]:
        return tuple([self.value(depth + 1) for _ in range(self.count(1))])

    def a_dict(self, depth: int) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        hashes: dict[int, int] = {}
        for _ in range(self.count(2)):
            key = self.value(depth + 1)
            value = self.value(depth + 1)
            try:
                if type(key) is not str:  # strings have a secret in their hash; numbers with equal ones can be made
                    number = hash(key)
                    hashes[number] = hashes.get(number, 0) + 1
                    if hashes[number] > MAX_SAME_HASH:
                        raise WireError("too many keys of a dict have the same hash")
                result[key] = value
            except (TypeError, ValueError) as error:  # unhashable; a numpy number that was compared with a tuple
                raise WireError(f"{type(key).__name__} cannot be a key") from error
        return result

    def handle(self, depth: int) -> Handle:
        number = LENGTH.unpack(self.take(8))[0]
        name = self.text()
        if len(name) > MAX_NAME:
            raise WireError("the name of a type is too long")
        return Handle(number, name)

    def number(self, depth: int) -> np.generic:
        array = self.array()
        if array.shape != ():
            raise WireError("a numpy number must have no axes")
        return array[()]

    def array(self, depth: int = 0) -> np.ndarray:
        head, dimensions = self.take(2)
        code, order = head & ~BY_COLUMNS, "F" if head & BY_COLUMNS else "C"
        if code >= len(DTYPES) or dimensions > MAX_DIMENSIONS:
            raise WireError(f"no array has dtype code {code} and {dimensions} axes")
        shape = _SHAPES[dimensions].unpack(self.take(8 * dimensions))
        size = math.prod(shape) * _ITEM_SIZES[code]
        if size > self.end - self.at:
            raise WireError(f"an array of shape {shape} was announced, {self.end - self.at} bytes are there")
        if not size and math.prod(length or 1 for length in shape) * _ITEM_SIZES[code] > MAX_FRAME:
            raise WireError(f"an array of shape {shape} has an axis that is too long")
        raw = self.take(size)
        if not code and raw.translate(None, b"\0\1"):
            raise WireError("a boolean array holds other bytes than 0 and 1")
        return np.ndarray(shape, DTYPES[code], raw, order=order).copy(order)  # with memory of its own, to be written to

    def tensor(self, depth: int) -> Tensor:
        array = self.array()
        return Tensor(array, name_of(array.dtype))

    def bfloat16(self, depth: int) -> Tensor:
        bits = self.array()
        if bits.dtype != np.uint16:
            raise WireError("the bits of bfloat16 numbers are not uint16")
        return Tensor(bits, BFLOAT16)


_READERS: dict[int, Callable[[_Reader, int], Any]] = {
    ord("a"): _Reader.array,
    ord("g"): _Reader.number,
    ord("x"): _Reader.bfloat16,
    ord("y"): _Reader.tensor,
    ord("N"): _Reader.none,
    ord("T"): _Reader.true,
    ord("F"): _Reader.false,
    ord("i"): _Reader.integer,
    ord("f"): _Reader.real,
    ord("c"): _Reader.a_complex,
    ord("s"): _Reader.text,
    ord("b"): _Reader.sized,
    ord("l"): _Reader.a_list,
    ord("t"): _Reader.a_tuple,
    ord("d"): _Reader.a_dict,
    ord("h"): _Reader.handle,
}

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

from grader.logic.tensors import BFLOAT16, Tensor
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
_SIZES = tuple(dtype.itemsize for dtype in DTYPES)
_DTYPE_CODE = {dtype: code for code, dtype in enumerate(DTYPES)}

_DOUBLE = struct.Struct(">d")
_COMPLEX = struct.Struct(">dd")
_SIZE = struct.Struct(">I")
_ARRAY_HEAD = struct.Struct(">BB")


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
    if code is None:
        raise NotPlain(array)
    by_columns = array.flags.f_contiguous and not array.flags.c_contiguous
    put(tag + _ARRAY_HEAD.pack(code | BY_COLUMNS if by_columns else code, array.ndim))
    put(struct.pack(f">{array.ndim}Q", *array.shape))
    put(array.astype(DTYPES[code], copy=False).tobytes("F" if by_columns else "C"))


class _Reader:
    """Reads one value after another from bytes of known length; every length is compared before it is used."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.values = 0

    def take(self, count: int) -> bytes:
        start = self.at
        end = start + count
        if end > len(self.data):
            raise WireError(f"{count} bytes were announced, {len(self.data) - start} are there")
        self.at = end
        return self.data[start:end]

    def value(self, depth: int) -> Any:
        self.values += 1
        if depth > MAX_DEPTH or self.values > MAX_VALUES:
            raise WireError("a value is nested too deep or holds too many values")
        try:
            tag = self.data[self.at]
        except IndexError:
            raise WireError("a value is missing") from None
        self.at += 1
        read = _READERS.get(tag)
        if read is None:
            raise WireError(f"no value begins with the byte {tag}")
        return read(self, depth)

    def size(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def items(self, depth: int) -> list[Any]:
        count = self.count(1)
        return [self.value(depth + 1) for _ in range(count)]

    def count(self, bytes_each: int) -> int:
        count = self.size()
        if count * bytes_each > len(self.data) - self.at:
            raise WireError(f"{count} values were announced, {len(self.data) - self.at} bytes are there")
        return count

    def text(self) -> str:
        try:
            return self.take(self.size()).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise WireError("a string is not UTF-8") from error

    def integer(self) -> int:
        digits = self.take(self.size())
        body = digits[1:] if digits[:1] == b"-" else digits
        if not body.isdigit() or len(body) > MAX_INT_DIGITS:
            raise WireError("a whole number is not written in digits")
        return int(digits)

    def mapping(self, depth: int) -> dict[Any, Any]:
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

    def handle(self) -> Handle:
        number = LENGTH.unpack(self.take(8))[0]
        name = self.text()
        if len(name) > MAX_NAME:
            raise WireError("the name of a type is too long")
        return Handle(number, name)

    def number(self) -> np.generic:
        array = self.array()
        if array.shape != ():
            raise WireError("a numpy number must have no axes")
        return array[()]

    def array(self) -> np.ndarray:
        head, dimensions = self.take(2)
        code, order = head & ~BY_COLUMNS, "F" if head & BY_COLUMNS else "C"
        if code >= len(DTYPES) or dimensions > MAX_DIMENSIONS:
            raise WireError(f"no array has dtype code {code} and {dimensions} axes")
        shape = struct.unpack(f">{dimensions}Q", self.take(8 * dimensions))
        dtype, size = DTYPES[code], _SIZES[code]
        count = math.prod(shape)
        if count * size > len(self.data) - self.at:
            raise WireError(f"an array of shape {shape} was announced, {len(self.data) - self.at} bytes are there")
        if not count and math.prod(length or 1 for length in shape) * size > MAX_FRAME:
            raise WireError(f"an array of shape {shape} has an axis that is too long")
        raw = self.take(count * size)
        if not code and raw.translate(None, b"\0\1"):
            raise WireError("a boolean array holds other bytes than 0 and 1")
        # The array's own memory, which may be written to.
        return np.ndarray(shape, dtype, raw, order=order).copy(order)


def _bfloat16(reader: _Reader) -> Tensor:
    bits = reader.array()
    if bits.dtype != np.uint16:
        raise WireError("the bits of bfloat16 numbers are not uint16")
    return Tensor(bits, BFLOAT16)


def _tensor(reader: _Reader) -> Tensor:
    array = reader.array()
    return Tensor(array, array.dtype.name)


_READERS: dict[int, Callable[[_Reader, int], Any]] = {
    ord("a"): lambda reader, depth: reader.array(),
    ord("g"): lambda reader, depth: reader.number(),
    ord("x"): lambda reader, depth: _bfloat16(reader),
    ord("y"): lambda reader, depth: _tensor(reader),
    ord("N"): lambda reader, depth: None,
    ord("T"): lambda reader, depth: True,
    ord("F"): lambda reader, depth: False,
    ord("i"): lambda reader, depth: reader.integer(),
    ord("f"): lambda reader, depth: _DOUBLE.unpack(reader.take(8))[0],
    ord("c"): lambda reader, depth: complex(*_COMPLEX.unpack(reader.take(16))),
    ord("s"): lambda reader, depth: reader.text(),
    ord("b"): lambda reader, depth: reader.take(reader.size()),
    ord("l"): lambda reader, depth: reader.items(depth),
    ord("t"): lambda reader, depth: tuple(reader.items(depth)),
    ord("d"): lambda reader, depth: reader.mapping(depth),
    ord("h"): lambda reader, depth: reader.handle(),
}

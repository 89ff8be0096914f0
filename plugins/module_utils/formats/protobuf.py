"""Protocol Buffers as they lie on the wire, read without a schema.

Messages of a rescued disk may be cut, damaged or made by somebody else. Nothing here recurses, reads beyond its bytes, or takes a length
that the bytes do not have: what does not fit raises Damaged. (Encoding: protobuf.dev, "Encoding".)
"""
import struct
from typing import Dict, Iterator, List, Optional, Tuple, Union

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT = 10                         # bytes of 64 bits
MAX_FIELDS = 1 << 20                    # fields of one message; each may take 200 bytes of memory. A message of this size holds a few thousand
WORD = (1 << 64) - 1
Value = Union[int, bytes]


class Damaged(ValueError):
    """These bytes are no message of this kind."""


def varint(data: bytes, position: int) -> Tuple[int, int]:
    """(value, position behind it). Damaged."""
    value = shift = 0
    for dummy in range(MAX_VARINT):
        if position >= len(data):
            raise Damaged('a number is cut')
        byte = data[position]
        position += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value & WORD, position
        shift += 7
    raise Damaged('a number has more than %d bytes' % MAX_VARINT)


def fields(data: bytes) -> Iterator[Tuple[int, Value]]:
    """Yield (field number, value) in their order: int for numbers of any width, unsigned, and bytes for the rest. Damaged."""
    position, end = 0, len(data)
    for dummy in range(MAX_FIELDS):
        if position >= end:
            return
        key, position = varint(data, position)
        number, kind = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise Damaged('a field has the number %d' % number)
        if kind == VARINT:
            value, position = varint(data, position)
            yield number, value
        elif kind == BYTES:
            length, position = varint(data, position)
            if length > end - position:
                raise Damaged('field %d is cut' % number)
            yield number, data[position:position + length]
            position += length
        elif kind in (FIXED64, FIXED32):
            width = 8 if kind == FIXED64 else 4
            if width > end - position:
                raise Damaged('field %d is cut' % number)
            yield number, int.from_bytes(data[position:position + width], 'little')
            position += width
        else:
            raise Damaged('field %d is of the unknown kind %d' % (number, kind))
    raise Damaged('more than %d fields' % MAX_FIELDS)


class Message(object):
    """One message. Its methods take the number of a field, and give the default of the language where it is absent.

    The last value of a field counts, and fields of another type than the one asked for count as absent. Raises Damaged at once, for
    the message itself, and when a message in it is asked for and damaged.
    """

    def __init__(self, data: bytes) -> None:
        self._fields: Dict[int, List[Value]] = {}
        for number, value in fields(data):
            self._fields.setdefault(number, []).append(value)

    def has(self, number: int) -> bool:
        return number in self._fields

    def number(self, number: int, default: int = 0) -> int:
        """An unsigned number, or DEFAULT."""
        found = [value for value in self._fields.get(number, ()) if isinstance(value, int)]
        return found[-1] if found else default

    def signed(self, number: int, default: int = 0) -> int:
        """A number of the types int32 and int64."""
        value = self.number(number, default)
        return value - (1 << 64) if value >= 1 << 63 else value

    def flag(self, number: int) -> bool:
        return self.number(number) != 0

    def float32(self, number: int) -> float:
        return struct.unpack('<f', struct.pack('<I', self.number(number) & 0xffffffff))[0]

    def all_bytes(self, number: int) -> List[bytes]:
        """All values of a repeated field."""
        return [value for value in self._fields.get(number, ()) if isinstance(value, bytes)]

    def raw(self, number: int) -> bytes:
        found = self.all_bytes(number)
        return found[-1] if found else b''

    def text(self, number: int) -> str:
        return _text(self.raw(number))

    def texts(self, number: int) -> List[str]:
        return [_text(value) for value in self.all_bytes(number)]

    def message(self, number: int) -> 'Message':
        """The message in a field; an empty one where it is absent (see has())."""
        return Message(b''.join(self.all_bytes(number)))     # several are merged: that is the same as one of all their fields

    def maybe(self, number: int) -> 'Optional[Message]':
        """The message in a field, None where it is absent."""
        return self.message(number) if self.all_bytes(number) else None

    def messages(self, number: int) -> 'List[Message]':
        return [Message(value) for value in self.all_bytes(number)]

    def mapping(self, number: int) -> Dict[str, str]:
        """A map<string, string>, sorted by its keys, as Go prints maps."""
        return dict(sorted((item.text(1), item.text(2)) for item in self.messages(number)))


def _text(raw: bytes) -> str:
    return raw.decode('utf-8', 'replace')

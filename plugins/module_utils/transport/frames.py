"""The stream that a delivery consists of: messages (JSON) and data of several open files, one after the other.

    frame    kind (1 byte), length of what follows (4 bytes, big endian), content
    MESSAGE  a JSON object with `op`, see remote.py
    DATA     number of the open file (4 bytes), bytes

Where the stream is cut into chunks has nothing to do with frames.

What comes over the wire is JSON of a stranger on both ends: :func:`loads` is the one place that reads it, and its bounds hold
before anything is made of the text.
"""
import json
import re
import struct
from typing import Any, Dict, Iterator, Optional, Tuple

from ..formats import wording

MESSAGE = 1
DATA = 2
_HEADER = struct.Struct('>BI')
_NUMBER = struct.Struct('>I')
MAX_MESSAGE = 32 * 1024 * 1024
MAX_DATA = 1 << 30                      # of one frame; it is passed on in pieces
MAX_VALUES = 1000000                    # of one document: an empty list has 2 bytes on the wire and 60 in memory
MAX_DEPTH = 24
MAX_DIGITS = 19                         # of a number; 64 bits have no more
# One step of a file's name in a bundle. No dot in front: such names are our own (.NAME.lifeboat-part, .BUNDLE.partial).
STEP = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.@:+=,-]{0,254}\Z')
# Below this folder are files of the host by their own names, such as .env; never . and .. .
TREE, TREE_STEPS = 'files', 16
_TREE_STEP = re.compile(r'\.?[A-Za-z0-9_][A-Za-z0-9_.@:+=,-]{0,253}\Z')
OURS = ('.lifeboat-part', '.lifeboat-mark', '.partial', '.new')     # ends of names that only we write
PROGRESS = 'progress.json'
MAX_NAME, MAX_STEPS = 1000, 6           # characters and steps of a relative name
_TOKEN = re.compile(br'\\.|["\[\]{}]', re.DOTALL)


class FrameError(ValueError):
    """The stream is no delivery."""


def loads(raw: bytes, most: int = MAX_MESSAGE, values: int = MAX_VALUES) -> Any:
    """The value of the JSON document RAW, which may come from an enemy. Raises FrameError for more than MOST bytes, VALUES
    values, MAX_DEPTH levels, MAX_DIGITS digits of a number, for NaN and Infinity, and for what is no JSON in UTF-8."""
    if len(raw) > most:
        raise FrameError('a document of %s' % wording.number(len(raw), 'byte'))
    opened = raw.count(b'[') + raw.count(b'{')
    if opened + raw.count(b',') > values:
        raise FrameError('a document of more than %d values' % values)
    if opened > MAX_DEPTH:
        _measure_depth(raw)
    try:
        return json.loads(raw.decode('utf-8'), parse_int=_number, parse_constant=_number)
    except (ValueError, RecursionError) as exc:
        raise FrameError('a document that is not JSON (%s)' % str(exc)[:100])


def _measure_depth(raw: bytes) -> None:
    """Brackets outside of strings are counted before a parser sees them."""
    depth, inside = 0, False
    for token in _TOKEN.finditer(raw):
        char = token.group()
        if char == b'"':
            inside = not inside
        elif not inside and char in b'[{':
            depth += 1
            if depth > MAX_DEPTH:
                raise FrameError('a document of more than %d levels' % MAX_DEPTH)
        elif not inside and char in b']}':
            depth -= 1


def _number(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 1 or not digits.lstrip('-').isdigit():
        raise ValueError('%s is no number' % digits[:30])
    return int(digits)


def plain_name(name: Any) -> bool:
    """True if NAME (str) may be the relative name of a file of a bundle: a few steps of harmless characters, none of them a name
    that we use ourselves."""
    if not isinstance(name, str) or len(name) > MAX_NAME or name == PROGRESS:
        return False
    steps = name.split('/')
    in_tree = steps[0] == TREE and len(steps) > 1
    return len(steps) <= (TREE_STEPS if in_tree else MAX_STEPS) and all(
        (_TREE_STEP if in_tree else STEP).match(step) and not step.endswith(OURS) for step in steps)


def message(value: Dict[str, Any]) -> bytes:
    """A frame (bytes) for a dict. Raises FrameError where the other end would refuse it."""
    raw = json.dumps(value, separators=(',', ':')).encode('utf-8')
    if len(raw) > MAX_MESSAGE:
        raise FrameError('a message %s of %s, and %d are the most' % (value.get('op'), wording.number(len(raw), 'byte'), MAX_MESSAGE))
    return _HEADER.pack(MESSAGE, len(raw)) + raw


def data_head(number: int, size: int) -> bytes:
    """What comes before SIZE bytes of the open file NUMBER."""
    return _HEADER.pack(DATA, size + _NUMBER.size) + _NUMBER.pack(number)


class Parser(object):
    """feed(bytes) yields (None, dict) for messages and (number, memoryview) for pieces of data. Raises FrameError."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._kind: Optional[int] = None  # of the frame at work
        self._left = 0                  # bytes of it that are still to come
        self._number: Optional[int] = None

    def feed(self, data: bytes) -> Iterator[Tuple[Optional[int], Any]]:
        view = memoryview(data)
        while len(view):
            if self._kind is None:
                view = self._gather(view, _HEADER.size)
                if len(self._held) == _HEADER.size:
                    self._begin()
            elif self._kind == MESSAGE:
                view = self._gather(view, self._left)
                if len(self._held) == self._left:
                    yield None, self._message()
            elif self._number is None:
                view = self._gather(view, _NUMBER.size)
                if len(self._held) == _NUMBER.size:
                    self._number = _NUMBER.unpack(bytes(self._held))[0]
                    del self._held[:]
                    self._end_of_data()
            else:
                piece = view[:self._left]
                view = view[len(piece):]
                self._left -= len(piece)
                number = self._number
                self._end_of_data()
                yield number, piece

    def _gather(self, view: memoryview, wanted: int) -> memoryview:
        more = wanted - len(self._held)
        self._held += view[:more]
        return view[more:]

    def _begin(self) -> None:
        kind, length = _HEADER.unpack(bytes(self._held))
        del self._held[:]
        if kind == MESSAGE and 0 < length <= MAX_MESSAGE:
            self._left = length
        elif kind == DATA and _NUMBER.size <= length <= MAX_DATA:
            self._left = length - _NUMBER.size
            self._number = None
        else:
            raise FrameError('a frame of kind %d and length %d' % (kind, length))
        self._kind = kind

    def _message(self) -> Dict[str, Any]:
        raw = bytes(self._held)
        self._held = bytearray()        # what was held may be large: it is given back
        value = loads(raw)
        if not isinstance(value, dict) or not isinstance(value.get('op'), str):
            raise FrameError('a message without op')
        self._kind = None
        return value

    def _end_of_data(self) -> None:
        if not self._left:
            self._kind = self._number = None

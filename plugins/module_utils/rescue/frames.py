# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream that a delivery consists of: messages (JSON) and data of several open files, one after the other.

    frame    kind (1 byte), length of what follows (4 bytes, big endian), content
    MESSAGE  a JSON object with `op`, see remote.py
    DATA     number of the open file (4 bytes), bytes

Where the stream is cut into chunks has nothing to do with frames.
"""
import json
import struct

MESSAGE = 1
DATA = 2
_HEADER = struct.Struct('>BI')
_NUMBER = struct.Struct('>I')
MAX_MESSAGE = 256 * 1024 * 1024
MAX_DATA = 1 << 30                      # of one frame; it is passed on in pieces


class FrameError(ValueError):
    """The stream is no delivery."""


def message(value):
    """A frame (bytes) for a dict."""
    raw = json.dumps(value, separators=(',', ':')).encode('utf-8')
    return _HEADER.pack(MESSAGE, len(raw)) + raw


def data_head(number, size):
    """What comes before SIZE bytes of the open file NUMBER."""
    return _HEADER.pack(DATA, size + _NUMBER.size) + _NUMBER.pack(number)


class Parser(object):
    """feed(bytes) yields (None, dict) for messages and (number, memoryview) for pieces of data. Raises FrameError."""

    def __init__(self):
        self._held = bytearray()
        self._kind = None               # of the frame at work
        self._left = 0                  # bytes of it that are still to come
        self._number = None

    def feed(self, data):
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

    def between_frames(self):
        """True if nothing of a frame is missing."""
        return self._kind is None and not self._held

    def _gather(self, view, wanted):
        more = wanted - len(self._held)
        self._held += view[:more]
        return view[more:]

    def _begin(self):
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

    def _message(self):
        try:
            value = json.loads(bytes(self._held).decode('utf-8'))
        except ValueError as exc:
            raise FrameError('a message is no JSON: %s' % exc)
        if not isinstance(value, dict) or not isinstance(value.get('op'), str):
            raise FrameError('a message without op')
        del self._held[:]
        self._kind = None
        return value

    def _end_of_data(self):
        if not self._left:
            self._kind = self._number = None

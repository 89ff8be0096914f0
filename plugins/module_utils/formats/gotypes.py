"""Values as programs written in Go put them into files: varints, times, protobuf messages.

Every reader raises ValueError with one clause about what is wrong; none trusts a length that it read.
"""
import datetime
import re
import struct
from typing import Any, Iterator, Optional, Tuple

from . import wording

UNIX_EPOCH = 62135596800                # seconds from year 1 to 1970
NEVER = (-UNIX_EPOCH, 0)                # 0001-01-01T00:00:00Z, Go's "never", as parse_time() gives it; earlier than every other time
_TIME = re.compile(r'(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?'
                   r'(?:[Zz]|([+-])(\d\d):(\d\d))\Z', re.ASCII)


def uvarint(raw: bytes, pos: int = 0) -> Tuple[int, int]:
    """Unsigned varint at POS -> (value below 2**64, position after it)."""
    value = shift = 0
    try:
        while shift < 70:
            byte = raw[pos]
            pos += 1
            value |= (byte & 0x7f) << shift
            if byte < 0x80:
                if value >> 64:
                    break
                return value, pos
            shift += 7
    except IndexError:
        raise ValueError('varint is cut off at byte %d' % len(raw))
    raise ValueError('varint that ends at byte %d has more than 64 bits' % pos)


def varint(raw: bytes, pos: int = 0) -> Tuple[int, int]:
    """Signed (zigzag) varint at POS, as encoding/binary's PutVarint writes it -> (value, position after it)."""
    value, end = uvarint(raw, pos)
    return (value >> 1) ^ -(value & 1), end


def binary_time(raw: bytes) -> Optional[str]:
    """The bytes of ``time.Time.MarshalBinary`` -> RFC 3339 UTC string, None for Go's zero time.

    Byte 0 is the version (1 or 2), then seconds since year 1 (int64), nanoseconds (int32), the zone's offset in
    minutes (int16, -1: UTC), all big-endian; version 2 has one byte more for the offset's seconds. The seconds are
    UTC whatever the offset says.
    """
    raw = bytes(raw)
    if raw[:1] not in (b'\x01', b'\x02') or len(raw) != 14 + raw[0]:
        raise ValueError('not a binary time (%s)' % wording.number(len(raw), 'byte'))
    seconds, nanos = struct.unpack_from('>qi', raw, 1)
    if seconds == 0 and nanos == 0:
        return None
    return format_time(seconds - UNIX_EPOCH, nanos)


def parse_time(text: Any) -> Tuple[int, int]:
    """RFC 3339 with any number of fractional digits -> (seconds since 1970, nanoseconds), which sorts by time."""
    found = _TIME.match(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError('not an RFC 3339 time: %.40r' % (text,))
    year, month, day, hour, minute, second, fraction, sign, off_hour, off_minute = found.groups()
    hour, minute, second = int(hour), int(minute), int(second)
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError('not an RFC 3339 time: %.40r' % text)
    try:
        days = datetime.date(int(year), int(month), int(day)).toordinal() - 1
    except ValueError:
        raise ValueError('not an RFC 3339 time: %.40r' % text)
    seconds = days * 86400 + hour * 3600 + minute * 60 + second - UNIX_EPOCH
    if sign:
        offset = int(off_hour) * 3600 + int(off_minute) * 60
        seconds += offset if sign == '-' else -offset
    return seconds, int((fraction or '')[:9].ljust(9, '0'))


def time_key(text: Any) -> Tuple[int, int]:
    """A sort key for any value that should be a time: a value that is not a time sorts before every time."""
    try:
        return parse_time(text)
    except ValueError:
        return NEVER


def format_time(seconds: int, nanos: int = 0, fixed: bool = False) -> str:
    """(seconds since 1970, nanoseconds) -> RFC 3339 UTC, trailing zeros trimmed as Go's RFC3339Nano does.

    FIXED: always nine digits (what `docker logs --timestamps` prints). ValueError outside the years 1 to 9999.
    """
    days, rest = divmod(seconds + UNIX_EPOCH, 86400)
    if not 0 <= nanos < 1000000000 or not 0 <= days < datetime.date.max.toordinal():
        raise ValueError('time out of range: %d s, %d ns' % (seconds, nanos))
    date = datetime.date.fromordinal(days + 1)
    fraction = '.%09d' % nanos
    if not fixed:
        fraction = fraction.rstrip('0').rstrip('.')
    # no strftime: it does not pad years below 1000 everywhere
    return '%04d-%02d-%02dT%02d:%02d:%02d%sZ' % (date.year, date.month, date.day, rest // 3600, rest // 60 % 60,
                                                 rest % 60, fraction)


def fields(raw: bytes) -> Iterator[Tuple[int, int, Any]]:
    """Yield (field number, wire type, value) of a protobuf message: int for types 0, 1 and 5, bytes for type 2."""
    pos = 0
    end = len(raw)
    while pos < end:
        tag = raw[pos]
        pos += 1
        if tag >= 0x80:
            tag, pos = uvarint(raw, pos - 1)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError('protobuf field number 0 at byte %d' % pos)
        if kind == 0:
            value, pos = uvarint(raw, pos)
        elif kind == 2:
            size, pos = uvarint(raw, pos)
            if size > end - pos:
                raise ValueError('protobuf field %d is cut off at byte %d' % (number, end))
            value = bytes(raw[pos:pos + size])
            pos += size
        elif kind in (1, 5):
            layout = '<Q' if kind == 1 else '<I'
            size = struct.calcsize(layout)
            if size > end - pos:
                raise ValueError('protobuf field %d is cut off at byte %d' % (number, end))
            value = struct.unpack_from(layout, raw, pos)[0]
            pos += size
        else:
            raise ValueError('protobuf wire type %d at byte %d' % (kind, pos))
        yield number, kind, value


def any_message(raw: bytes) -> Tuple[str, bytes]:
    """A ``google.protobuf.Any`` -> (type_url as str, value as bytes)."""
    type_url, value = b'', b''
    for number, kind, content in fields(raw):
        if kind == 2 and number == 1:
            type_url = content
        elif kind == 2 and number == 2:
            value = content
    return type_url.decode('utf-8', 'replace'), value

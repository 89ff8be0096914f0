"""Sizes and times as people type them."""
import re
import time
from typing import Tuple, Union

from . import gotypes

_SIZE = re.compile(r'\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?\s*\Z', re.IGNORECASE | re.ASCII)
_POWERS = {'': 0, 'k': 1, 'm': 2, 'g': 3, 't': 4, 'p': 5}
_DURATION = re.compile(r'(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?\Z', re.ASCII)
_BARE = re.compile(r'\d{1,11}\Z', re.ASCII)
_DATE = re.compile(r'\d{4}-\d\d-\d\d\Z', re.ASCII)
_LOCAL = re.compile(r'(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?\Z', re.ASCII)
_SECONDS = re.compile(r'(\d{1,11})(?:\.(\d{1,9}))?\Z', re.ASCII)


def size(text: Union[str, int]) -> int:
    """Bytes of '64M', '2GiB', '1.5g', '512', 512; M and MiB are the same, 1024 * 1024. ValueError."""
    found = _SIZE.match(str(text))
    if found is None:
        raise ValueError('"%s" is not a size; examples: 4096, 64M, 2GiB' % text)
    factor = 1024 ** _POWERS[found.group(2).lower()]
    return int(found.group(1)) * factor if '.' not in found.group(1) else int(float(found.group(1)) * factor)


def duration(text: str) -> int:
    """Seconds of '90s', '10m', '1h30m', '7d'. ValueError."""
    found = _DURATION.match(text)
    if found is None or not any(found.groups()):
        raise ValueError('"%s" is not a duration; examples: 90s, 10m, 1h30m, 7d' % text)
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def seconds(text: Union[str, int]) -> int:
    """Seconds of a duration() or of a bare number: '10m', '600', 600. ValueError."""
    text = str(text).strip()
    return int(text) if _BARE.match(text) else duration(text)


def moment(text: str) -> Tuple[int, int]:
    """(seconds since 1970, nanoseconds) of a time as docker logs takes it: RFC 3339, a date, a time without zone (UTC),
    seconds since 1970, or a duration before now (10m). ValueError."""
    found = _SECONDS.match(text)
    if found is not None and len(found.group(1)) > 4:
        return int(found.group(1)), int((found.group(2) or '').ljust(9, '0'))
    try:
        return int(time.time()) - duration(text), 0
    except ValueError:
        pass
    if _DATE.match(text):
        text += 'T00:00:00Z'
    found = _LOCAL.match(text)
    if found is None:
        raise ValueError('"%s" is not a time; examples: 2026-05-01, 2026-05-01T12:30:00Z, 10m (before now)' % text)
    return gotypes.parse_time('%sT%s%s%s' % (found.group(1), found.group(2), found.group(3) or ':00', found.group(4) or 'Z'))

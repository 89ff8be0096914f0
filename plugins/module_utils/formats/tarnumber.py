"""Numbers in the headers of tar archives: octal text, or GNU's base 256 where that is too short.

Source: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format".
"""
from typing import Optional


def number(field: bytes) -> Optional[int]:
    """The number in FIELD, which may be negative in base 256; 0 where it is empty, None where it is neither form."""
    if field[:1] >= b'\x80':
        value = int.from_bytes(field, 'big') & (1 << (8 * len(field) - 1)) - 1
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        return value
    digits = field.strip(b' \0')
    if not digits:
        return 0
    if not digits.isdigit():
        return None
    try:
        return int(digits, 8)
    except ValueError:
        return None

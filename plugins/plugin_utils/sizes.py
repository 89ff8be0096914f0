"""Sizes as people write and read them."""
from __future__ import annotations

import re
from typing import Any


def parse_bytes(text: Any) -> int | None:
    """'10m', '1.5 GiB', '2GB', 1024 -> bytes. One letter counts in powers of 1024, as Docker does."""
    if isinstance(text, bool):
        return None
    if isinstance(text, (int, float)):
        return int(text)
    found = re.match(r'\s*(\d+(?:\.\d+)?)\s*([kmgtpe]?)(i?b)?\s*\Z', text, re.IGNORECASE) if isinstance(text, str) else None
    if not found:
        return None
    number, unit, tail = found.groups()
    base = 1000 if unit and tail and tail.lower() == 'b' else 1024
    return int(float(number) * base ** ' kmgtpe'.index(unit.lower() or ' '))


def human_bytes(size: Any) -> str:
    """1288490188 -> '1.2 GiB'"""
    if not isinstance(size, (int, float)) or isinstance(size, bool):
        return '? B'
    number = float(size)
    for unit in ('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'):
        if abs(number) < 1000 or unit == 'PiB':
            return f'{number:.0f} {unit}' if unit == 'B' or number >= 100 else f'{number:.1f} {unit}'
        number /= 1024
    return ''

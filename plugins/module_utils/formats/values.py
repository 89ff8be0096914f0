"""Values that were read from a disk, tamed: they may have any type, or be missing."""
import re
from typing import Any, Dict, List, Optional

MAX_DEPTH = 12
_COUNT = re.compile(r'[0-9]{1,18}\Z')
_AS_THEY_ARE = frozenset((type(None), bool, int, float))


class _Nothing(dict):
    """A dictionary that stays empty: all records whose field has this default share it."""

    def _refused(self, *dummy: Any, **more: Any) -> Any:
        raise TypeError('this empty dictionary is shared by all records; put a new one into yours')

    __setitem__ = __ior__ = setdefault = update = _refused


NOTHING: Dict[Any, Any] = _Nothing()


def clean(value: Any, depth: int = 0) -> Any:
    """JSON data with half surrogates replaced and NULs removed from strings; nothing below MAX_DEPTH."""
    if isinstance(value, str):
        if value.isprintable():         # neither of them is printable
            return value
        return value.encode('utf-16-le', 'surrogatepass').decode('utf-16-le', 'replace').replace('\0', '')
    if isinstance(value, dict):
        return {} if depth > MAX_DEPTH else {clean(key): item if type(item) in _AS_THEY_ARE else clean(item, depth + 1)
                                             for key, item in value.items()}
    if isinstance(value, list):
        return [] if depth > MAX_DEPTH else [clean(item, depth + 1) for item in value]
    return value


def as_dict(value: Any) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> List[Any]:
    return value if isinstance(value, list) else []


def as_str(value: Any) -> str:
    return value if isinstance(value, str) else ''


def as_int(value: Any) -> Optional[int]:
    """int or None (also for bool)."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def count_of(text: str) -> Optional[int]:
    """The whole number that a program printed; None for everything else. ``isdigit()`` takes digits that int() does not, and newer Pythons refuse
    thousands of them."""
    return int(text) if _COUNT.match(text) else None


def strings(value: Any) -> List[str]:
    """A list of its strings; a lone string counts as one (older engines wrote such)."""
    if isinstance(value, str):
        return [value]
    return [item for item in as_list(value) if isinstance(item, str)]

"""The one door for what records of containers/storage say before it becomes a part of a path, and how its files are called."""
import base64
from typing import Any, List, Optional

from ....formats.patterns import Lazy

ID = Lazy(r'[0-9a-f]{64}\Z')
ID_BYTES = Lazy(rb'[0-9a-f]{64}\Z')
LINK = Lazy(rb'l/([A-Z0-9]{26})\Z')
LINK_TARGET = Lazy(rb'\.\./([0-9a-f]{64})/diff\Z')
MERGED = Lazy(r'/([0-9a-f]{64})(?:/merged)?\Z')
EXTRA = Lazy(rb'diff([1-9][0-9]{0,2})\Z')
VOLUME = Lazy(rb'[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}\Z')
DIGEST = Lazy(r'sha256:[0-9a-f]{64}\Z')
_PLAIN_KEY = Lazy(r'[.0-9a-z]+\Z')
MAX_DEPTH = 512                         # layers of a chain; the driver's own limit is 500


def is_id(value: Any) -> bool:
    """Whether VALUE is the full id of a container, layer or image."""
    return isinstance(value, str) and ID.match(value) is not None


def big_data(key: str) -> Optional[bytes]:
    """The file of a piece of big data (storage: store.go, makeBigDataBaseName); None for a key that would leave its folder."""
    if _PLAIN_KEY.match(key) and key.strip('.'):
        return key.encode('ascii')
    name = b'=' + base64.standard_b64encode(key.encode('utf-8', 'replace'))
    return None if b'/' in name or len(name) > 255 else name


def ids_of(text: bytes) -> List[str]:
    """The layers that `lower-layers` names, nearest first; [] if any part of it is no id: then it is damaged."""
    parts = text.strip(b'\0\n ').split(b':')
    return [part.decode('ascii') for part in parts] if all(ID_BYTES.match(part) for part in parts) else []


def layer_of_mount(path: Any) -> Optional[str]:
    """The layer whose mount point is PATH (`root.path` of a runtime spec), None if it is none."""
    found = MERGED.search(path) if isinstance(path, str) else None
    return found.group(1) if found else None

"""containerd's container objects: bucket v1/NAMESPACE/containers/ID of meta.db (containerd core/metadata/buckets.go)."""
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional

from ....formats import gotypes, jsonish
from ....formats.values import NOTHING

if TYPE_CHECKING:
    from ....formats.boltdb import Bucket
    from .store import ContainerdStore

MAX_OBJECTS = 100000


class Object(NamedTuple):
    """One of them. `spec_raw` and the values of `extensions` are what the Any in them holds: JSON."""
    id: str
    namespace: str
    labels: Dict[str, str] = NOTHING
    image: str = ''
    snapshotter: str = ''
    snapshot: str = ''                  # its key, which is the id where nobody chose another
    created: Optional[str] = None
    spec_raw: bytes = b''
    extensions: Dict[str, bytes] = NOTHING

    @property
    def spec(self) -> Dict[str, Any]:
        """The OCI runtime spec, {} where there is none that can be read."""
        return json_of(self.spec_raw)


def json_of(raw: bytes) -> Dict[str, Any]:
    """A JSON object, {} where it is none."""
    try:
        value = jsonish.loads(raw or b'{}')
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def objects(store: 'ContainerdStore', namespace: str) -> Dict[str, Object]:
    """{id: Object} of a namespace; {} where meta.db cannot be read."""
    meta = store.meta()
    bucket = meta.bucket(namespace.encode(), b'containers', errors=[]) if meta is not None else None
    found: Dict[str, Object] = {}
    if bucket is None:
        return found
    for key, inner in bucket.buckets(errors=[]):
        if len(found) < MAX_OBJECTS:
            ident = key.decode('utf-8', 'replace')
            found[ident] = _object(ident, namespace, inner)
    return found


def _object(ident: str, namespace: str, bucket: 'Bucket') -> Object:
    labels = {key: value.decode('utf-8', 'replace') for key, value in _pairs(bucket, b'labels').items()}
    return Object(ident, namespace, labels, _text(bucket, b'image'), _text(bucket, b'snapshotter'), _text(bucket, b'snapshotKey') or ident, _time(bucket),
                  _any(bucket.get(b'spec', errors=[])), {name: _any(raw) for name, raw in _pairs(bucket, b'extensions').items()})


def _text(bucket: 'Bucket', key: bytes) -> str:
    return (bucket.get(key, errors=[]) or b'').decode('utf-8', 'replace')


def _pairs(bucket: 'Bucket', name: bytes) -> Dict[str, bytes]:
    inner = bucket.bucket(name, errors=[])
    return {key.decode('utf-8', 'replace'): value or b'' for key, value in inner.items(errors=[])} if inner is not None else {}


def _time(bucket: 'Bucket') -> Optional[str]:
    try:
        return gotypes.binary_time(bucket.get(b'createdat', errors=[]) or b'')
    except ValueError:
        return None


def _any(raw: Optional[bytes]) -> bytes:
    """The value of a protobuf Any, b'' where it is none."""
    try:
        return gotypes.any_message(raw)[1] if raw else b''
    except ValueError:
        return b''

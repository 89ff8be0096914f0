"""User-defined networks of Podman (common/libnetwork/types: Network), one JSON file each."""
import os
from typing import TYPE_CHECKING, Any, Dict, Iterator

from ...disk import metadata
from ...formats import jsonish
from ...formats.values import as_dict, as_str, clean
from ...records.definition import NetworkSettings, Pool, texts

if TYPE_CHECKING:
    from ..shared.storage.graphroot import GraphRoot

SYSTEM, IN_ROOT = b'/etc/containers/networks', b'networks'
MAX_NETWORKS, MAX_FILE = 1000, 1 << 20


def recorded(root: Any) -> Dict[str, NetworkSettings]:
    """{name: NetworkSettings} of an open shared.storage.graphroot.GraphRoot; what cannot be read is left out."""
    found = {}
    for raw in _files(root):
        try:
            value = as_dict(clean(jsonish.loads(raw)))
        except ValueError:
            continue
        if as_str(value.get('name')):
            found[value['name']] = _settings(value)
    return found


def _files(root: 'GraphRoot') -> Iterator[bytes]:
    try:
        if not root.rootless:
            for name in root.disk.listdir(SYSTEM)[:MAX_NETWORKS]:
                if name.endswith(b'.json'):
                    yield root.disk.read(os.path.join(SYSTEM, name), MAX_FILE)
            return
        folder = root.dir.descend(IN_ROOT)
        for name in folder.names()[:MAX_NETWORKS]:
            if name.endswith(b'.json'):
                yield folder.read(name, MAX_FILE)
    except OSError:
        return


def _settings(value: Dict[str, Any]) -> NetworkSettings:
    pools = tuple(Pool(metadata.text_of(item, 'subnet'), metadata.text_of(item, 'gateway')) for item in metadata.list_of(value, 'subnets'))
    return NetworkSettings(as_str(value.get('driver')), texts(value.get('options')), texts(value.get('labels')), value.get('internal') is True, False,
                           value.get('ipv6_enabled') is True, pools)

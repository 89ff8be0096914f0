"""The bbolt databases: checked whole; written anew from a whole tree, else from pages and folders; or moved aside."""
import json
import re
from typing import Any, Dict, Iterator, Optional, Tuple

from ..formats import boltcheck, boltwrite, jsonish, wording
from . import known, records, steps
from .plan import Plan
from .view import FILE, MAX_DB

CODES = {
    'DB_FREE_LIST': steps.Code('The list of free pages of a database is damaged; the engine would end with a panic. No data are lost.',
                               'Writes the database anew from its whole tree.'),
    'DB_OLDER_TREE': steps.Code('The newest tree of a database is damaged, the one before it is whole.',
                                'Writes the database anew from that tree: the last transaction is lost.'),
    'VOLUMES_DB': steps.Code('The database of volumes is damaged, empty or gone: dockerd does not start, or labels and options are not shown.',
                             'Makes it anew from the pages that are left, and a record for each volume folder.'),
    'NETWORK_DB': steps.Code('The database of networks is damaged; dockerd does not start.',
                             'Makes it anew from the pages that are left: networks keep their IDs; one that was removed may be back. '
                             'If none is found, moves it aside.'),
    'BUILDKIT_CACHE': steps.Code('A database of BuildKit is damaged; dockerd does not start.', 'Moves buildkit/ aside: it is only the build cache.'),
    'CONTAINERD_DB': steps.Code('The database of the engine\'s own containerd is damaged.',
                                'Moves it aside where it holds only what ran. With the containerd image store it is never touched.'),
}
VOLUMES = b'volumes/metadata.db'
NETWORKS = b'network/files/local-kv.db'
_NETWORK_KEY = re.compile(rb'docker/network/v1\.0/(network|bridge|ipam|null|host|macvlan|ipvlan|overlay|endpoint_count|idm)\b.*')
_VOLUME_NAME = re.compile(rb'[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z')


def plan(this: Plan) -> None:
    """Plan for every database below the root."""
    _rewrite(this, VOLUMES, steps.REBUILT)
    if _is_unusable(this, VOLUMES, True):
        _volumes(this)
    _rewrite(this, NETWORKS, steps.REBUILT)
    if _is_unusable(this, NETWORKS, False):
        _networks(this)
    elif not this.view.read(NETWORKS, MAX_DB):
        _lost_networks(this)
    _buildkit(this)
    _containerd(this)


def _judge(this: Plan, path: bytes) -> Optional[boltcheck.Verdict]:
    """boltcheck.Verdict, None where there is no file. An empty one is damaged."""
    raw = this.view.read(path, MAX_DB)
    return None if raw is None else boltcheck.judge(raw)


def _rewrite(this: Plan, path: bytes, older: str) -> None:
    """Write a file anew whose tree is whole. OLDER: certainty where that is the tree before the last transaction."""
    verdict = _judge(this, path)
    if verdict is None or verdict.db is None or verdict.state not in (boltcheck.FREE_LIST, boltcheck.OLDER):
        return
    try:
        raw = boltwrite.encode(boltwrite.tree_of(verdict.db.root), verdict.db.page_size, verdict.db.order, verdict.db.txid + 2)
    except ValueError as exc:
        this.leave('DB_FREE_LIST', path, str(exc), 'Ask somebody who has bbolt\'s own tool: bbolt surgery freelist rebuild.')
        return
    if verdict.state == boltcheck.FREE_LIST:
        this.write('DB_FREE_LIST', path, raw, verdict.why, steps.CERTAIN)
    else:
        this.write('DB_OLDER_TREE', path, raw, '%s; the one before it is whole' % verdict.why, older)


def _is_unusable(this: Plan, path: bytes, missing: bool) -> bool:
    """Whether the engine cannot use it even now. MISSING: a file that is not there counts."""
    verdict = _judge(this, path)
    if verdict is None:
        return missing and this.view.is_folder(path.rpartition(b'/')[0])
    return verdict.state == boltcheck.DAMAGED and (missing or this.view.read(path, MAX_DB) != b'')


# -- volumes ----------------------------------------------------------------------------------------------------------


def _volumes(this: Plan) -> None:
    view = this.view
    names = [name for name in view.names(b'volumes') if _VOLUME_NAME.match(name) and view.is_folder(b'volumes/' + name)]
    if not names:
        if view.kind(VOLUMES) == FILE and view.read(VOLUMES, MAX_DB):
            this.aside('VOLUMES_DB', VOLUMES, 'no volume is there; dockerd makes a new database', steps.REBUILT)
        return
    raw = view.read(VOLUMES, MAX_DB) or b''
    saved = {name: value for name, value in _volume_records(raw) if name in names}
    labels = _labels(this)
    entries = {name: saved.get(name) or _volume(this, name, labels.get(name)) for name in names}
    size, order = boltcheck.geometry(raw)
    tree = boltwrite.Tree({b'volumes': boltwrite.Tree(entries)})
    this.write('VOLUMES_DB', VOLUMES, boltwrite.encode(tree, size, order), '%d of %s out of the old file, the others from the folders' % (
        len(saved), wording.number(len(names), 'record')), steps.REBUILT)


def _volume_records(raw: bytes) -> Iterator[Tuple[bytes, bytes]]:
    """Yield (name, record) of what pages still say. Two different records of one volume: neither."""
    found: Dict[bytes, Any] = {}
    for key, value in boltcheck.salvage(raw):
        record = _object(value)
        if record and isinstance(record.get('Name'), str) and record['Name'].encode('utf-8', 'replace') == key and record.get('Driver'):
            found.setdefault(key, set()).add(value)
    for key, values in found.items():
        if len(values) == 1:
            yield key, values.pop()


def _volume(this: Plan, name: bytes, labels: Optional[Dict[str, str]]) -> bytes:
    options = this.view.json(b'volumes/' + name + b'/opts.json') or {}
    told = {to: options[of] for to, of in (('type', 'MountType'), ('o', 'MountOpts'), ('device', 'MountDevice')) if options.get(of)}
    return json.dumps({'Name': name.decode(), 'Driver': 'local', 'Labels': labels or None, 'Options': told or None}, separators=(',', ':')).encode()


def _labels(this: Plan) -> Dict[bytes, Dict[str, str]]:
    """{volume: labels} as containers tell them. Nothing makes a volume anonymous: prune would remove it."""
    found: Dict[bytes, Dict[str, str]] = {}
    for ident in known.containers(this.view):
        config = known.config(this.view, ident) or {}
        project = records.dict_of(records.dict_of(config, 'Config'), 'Labels').get('com.docker.compose.project')
        for point in records.dict_of(config, 'MountPoints').values():
            name = point.get('Name') if isinstance(point, dict) else None
            if not isinstance(name, str):
                continue
            mine = found.setdefault(name.encode('utf-8', 'replace'), {})
            mine.update(records.dict_of(records.dict_of(records.dict_of(point, 'Spec'), 'VolumeOptions'), 'Labels'))
            if project and name.startswith(str(project) + '_'):
                mine.update({'com.docker.compose.project': project, 'com.docker.compose.volume': name[len(project) + 1:]})
    return found


# -- networks ---------------------------------------------------------------------------------------------------------


def _networks(this: Plan) -> None:
    raw = this.view.read(NETWORKS, MAX_DB) or b''
    found: Dict[bytes, bytes] = {}
    for key, value in boltcheck.salvage(raw):
        match = _NETWORK_KEY.search(key)
        # 8 bytes of a growing number, and JSON: of one key the highest number is the newest
        if match and len(value) > 8 and _object(value[8:]) and _index(value) >= _index(found.get(match.group(), b'')):
            found[match.group()] = value
    count = sum(key.startswith(b'docker/network/v1.0/network/') for key in found)
    if count:
        size, order = boltcheck.geometry(raw)
        tree = boltwrite.Tree({b'libnetwork': boltwrite.Tree(found)})
        why = '%s out of the pages of the old file; one that was removed may be among them' % wording.number(count, 'network')
        this.write('NETWORK_DB', NETWORKS, boltwrite.encode(tree, size, order), why, steps.REBUILT, 0o644)
    else:
        names = _user_networks(this) or 'no container names one'
        this.aside('NETWORK_DB', NETWORKS, 'nothing of it can be read. Make user networks again by name: %s' % names, steps.REBUILT)


def _lost_networks(this: Plan) -> None:
    """dockerd starts without the file, and without any word of the networks that are gone with it."""
    names = _user_networks(this)
    if names:
        this.leave('NETWORK_DB', NETWORKS, 'it is gone or empty: dockerd starts, but the networks of its containers are not there any more, and those '
                   'containers do not start', 'After the start, make them again by name, with the same subnets: %s' % names)


def _index(value: Optional[bytes]) -> int:
    return int.from_bytes(value[:8], 'little') if value else -1


def _user_networks(this: Plan) -> str:
    found: Dict[str, str] = {}
    for ident in known.containers(this.view):
        config = known.config(this.view, ident) or {}
        for name, endpoint in records.dict_of(records.dict_of(config, 'NetworkSettings'), 'Networks').items():
            if name not in ('bridge', 'host', 'none', 'default'):
                gateway = endpoint.get('Gateway') if isinstance(endpoint, dict) else ''
                found[name] = '%s/%s' % (gateway, endpoint.get('IPPrefixLen')) if gateway else found.get(name, '')
    return ', '.join('%s%s' % (name, ' (gateway %s)' % found[name] if found[name] else '') for name in sorted(found))[:300]


# -- BuildKit and containerd ---------------------------------------------------------------------------------------------


def _buildkit(this: Plan) -> None:
    bad = []
    for name in this.view.names(b'buildkit'):
        if name.endswith(b'.db'):
            _rewrite(this, b'buildkit/' + name, steps.REBUILT)
            if _is_unusable(this, b'buildkit/' + name, False):
                bad.append(name.decode('ascii', 'backslashreplace'))
    if bad:
        why = '%s cannot be opened; it is only the build cache' % ', '.join(sorted(bad))
        if this.can_be_moved(b'buildkit'):
            this.aside('BUILDKIT_CACHE', b'buildkit', why, steps.CERTAIN)
        else:                           # the data root is often a disk of its own: all databases, since each tells of the others
            for name in this.view.names(b'buildkit'):
                if name.endswith(b'.db'):
                    this.aside('BUILDKIT_CACHE', b'buildkit/' + name, why, steps.CERTAIN)


def _containerd(this: Plan) -> None:
    """A store that holds layers is never rebuilt: a database that lacks one lease or label makes the collector delete."""
    for place in this.view.top.containerd:
        precious = known.holds_layers(this.view, place)
        for folder in this.view.names(place):
            for name in this.view.names(place + b'/' + folder):
                if name.endswith(b'.db'):
                    _of_containerd(this, place + b'/' + folder + b'/' + name, precious)


def _of_containerd(this: Plan, path: bytes, precious: bool) -> None:
    _rewrite(this, path, steps.CHOICE if precious else steps.REBUILT)
    if not _is_unusable(this, path, False):
        return
    if precious:
        this.leave('CONTAINERD_DB', path, 'it is the only record of images and layers, and no whole tree of it is left',
                   'Never remove it, and start nothing on this disk. Rescue the containers and restore them into a new root.')
    else:
        this.aside('CONTAINERD_DB', path, 'it tells only what ran; containerd makes a new one', steps.CERTAIN)


def _object(raw: bytes) -> Optional[Dict[str, Any]]:
    try:
        value = jsonish.loads(raw)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

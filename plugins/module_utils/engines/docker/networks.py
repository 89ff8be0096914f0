"""Definitions of user-defined networks from <data root>/network/files/local-kv.db.

A container's own records name its networks and addresses, but not the subnet that somebody chose for the network, and
an engine gives a fixed address only on a network with a chosen subnet. (Seen with Docker 20.10 and 28.5.)
"""
import errno
import json
import os
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Tuple,
)

from ...disk import metadata
from ...formats import boltdb, wording
from ...formats.values import as_dict, as_list, as_str, clean
from ...records import model
from ...records.codes import problem
from ...records.definition import NetworkSettings, network_settings

if TYPE_CHECKING:
    from ...disk.safeio import Dir

DATABASE = b'local-kv.db'
MAX_DB = 64 << 20
BUCKET = b'libnetwork'
PREFIX = b'docker/network/v1.0/network/'
BUILT_IN = ('host', 'null')


class Recorded(NamedTuple):
    """The networks of a data root. `damage`: what is wrong with their database, '' if nothing; `is_empty`: there is none, or nothing in it,
    as on a host that never had a network of its own."""
    settings: Dict[str, NetworkSettings]
    damage: str = ''
    is_empty: bool = False


def recorded(root: 'Dir') -> Recorded:
    """The user-defined networks of an open data root."""
    try:
        with root.descend(b'network/files') as folder:
            raw = folder.read(DATABASE, MAX_DB)
    except OSError as exc:
        return Recorded({}, 'it cannot be read (%s)' % metadata.describe(exc), exc.errno in (errno.ENOENT, errno.ENOTDIR))
    found, damage = networks(raw)
    return Recorded({name: network_settings(info) for name, info in found.items()}, damage if raw else 'it is empty', not raw)


def note(found: Recorded, path: bytes, wanted: Iterable[str]) -> Optional[model.Problem]:
    """What is to be said of damage, None if nothing. PATH: of the data root. WANTED: networks of the containers that were asked for."""
    missing = sorted(name for name in set(wanted) if name not in found.settings)
    if not found.damage or found.is_empty and not missing:
        return None
    place = os.path.join(path, b'network/files', DATABASE)
    return problem('NETWORK_DB_DAMAGED', wording.text(place), 'The database of networks %s is damaged: %s.%s' % (
        wording.show(place), found.damage, ' It does not tell of %s: subnets, options and labels of such networks are those that the containers '
        'themselves recorded, or the usual ones.' % wording.show(', '.join(missing[:10])) if missing else ''),
        'Look at the networks of the restored containers before you start them: `docker network create` by the same names with the old subnets.')


def networks(raw: bytes) -> Tuple[Dict[str, Dict[str, Any]], str]:
    """({name: info}, damage) from the bytes of local-kv.db. INFO has the names of the fields of NetworkSettings:
    {'driver', 'options', 'labels', 'internal', 'attachable', 'enable_ipv6', 'disable_ipv4', 'ipam_driver', 'ipam_options',
    'ipam': [{'subnet', 'gateway', 'ip_range', 'reserved'}]}. What is seldom set is only there where it is: reserved, disable_ipv4, ipam_*.
    `ident`: its ID.
    """
    found = {}
    errors: List[Any] = []
    try:
        database = boltdb.open_db(raw)
        bucket = database.root.bucket(BUCKET, errors=errors)
        for key, value in bucket.items(errors=errors) if bucket is not None else ():
            if key.startswith(PREFIX) and value is not None:
                record = _record(value)
                if record is None:
                    errors.append('the record of a network is damaged')
                    continue
                name = as_str(record.get('name'))
                if name and record.get('networkType') not in BUILT_IN and record.get('ingress') is not True:
                    found[name] = dict(_info(record), ident=key[len(PREFIX):].strip(b'/').decode('ascii', 'replace'))
    except boltdb.BoltError as exc:
        return found, str(exc)
    return found, database.trouble or (str(errors[0]) if errors else '')


def _record(value: bytes) -> Optional[Dict[str, Any]]:
    """The JSON object behind the store's 8-byte index, None if it is none."""
    try:
        record = clean(json.loads(value[8:].decode('utf-8', 'replace')))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _info(record: Dict[str, Any]) -> Dict[str, Any]:
    info: Dict[str, Any] = {'driver': as_str(record.get('networkType')) or 'bridge', 'options': _texts(_options(record)),
                            'labels': _texts(record.get('labels')), 'ipam': []}
    for key, target in (('internal', 'internal'), ('attachable', 'attachable'), ('enableIPv6', 'enable_ipv6')):
        info[target] = record.get(key) is True
    info.update((key, value) for key, value in (
        ('disable_ipv4', record.get('enableIPv4') is False),    # engines before 28 do not know it
        ('ipam_driver', as_str(record.get('ipamType')) if record.get('ipamType') != 'default' else ''),
        ('ipam_options', _texts(_document(record.get('ipamOptions'))))) if value)
    for key in ('ipamV4Config', 'ipamV6Config'):
        for pool in map(as_dict, as_list(_document(record.get(key)))):
            entry: Dict[str, Any] = dict((target, as_str(pool.get(name))) for name, target in (
                ('PreferredPool', 'subnet'), ('Gateway', 'gateway'), ('SubPool', 'ip_range')) if as_str(pool.get(name)))
            if _texts(pool.get('AuxAddresses')):
                entry['reserved'] = _texts(pool['AuxAddresses'])
            if 'subnet' in entry:       # without one the engine chose, and may choose again
                info['ipam'].append(entry)
    return info


def _options(record: Dict[str, Any]) -> Dict[str, str]:
    return as_dict(as_dict(record.get('generic')).get('com.docker.network.generic'))


def _document(value: Any) -> Any:
    """A list or an object that may be stored as JSON within the JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


def _texts(value: Any) -> Dict[str, str]:
    return dict((key, as_str(item)) for key, item in as_dict(value).items())

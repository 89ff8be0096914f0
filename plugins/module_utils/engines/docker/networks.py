"""Definitions of user-defined networks from <data root>/network/files/local-kv.db.

A container's own records name its networks and addresses, but not the subnet that somebody chose for the network, and
an engine gives a fixed address only on a network with a chosen subnet. (Seen with Docker 20.10 and 28.5.)
"""
import json
from typing import TYPE_CHECKING, Any, Dict

from ...formats import boltdb
from ...formats.values import as_dict, as_list, as_str, clean
from ...records.definition import NetworkSettings, network_settings

if TYPE_CHECKING:
    from ...disk.safeio import Dir

DATABASE = b'local-kv.db'
BUCKET = b'libnetwork'
PREFIX = b'docker/network/v1.0/network/'
BUILT_IN = ('host', 'null')


def recorded(root: 'Dir') -> Dict[str, NetworkSettings]:
    """{name: NetworkSettings} of the user-defined networks of an open data root, {} where their database is lost."""
    try:
        with root.descend(b'network/files') as folder:
            raw = folder.read(DATABASE)
    except OSError:
        return {}
    return {name: network_settings(info) for name, info in networks(raw).items()}


def networks(raw: bytes) -> Dict[str, Dict[str, Any]]:
    """{name: info} from the bytes of local-kv.db; {} where it cannot be read. INFO has the names of the fields of NetworkSettings:
    {'driver', 'options', 'labels', 'internal', 'attachable', 'enable_ipv6', 'disable_ipv4', 'ipam_driver', 'ipam_options',
    'ipam': [{'subnet', 'gateway', 'ip_range', 'reserved'}]}. What is seldom set is only there where it is: reserved, disable_ipv4, ipam_*.
    `ident`: its ID.
    """
    found = {}
    errors = []
    try:
        bucket = boltdb.open_db(raw).root.bucket(BUCKET, errors=errors)
        for key, value in bucket.items(errors=errors) if bucket is not None else ():
            if key.startswith(PREFIX) and value is not None:
                record = _record(value)
                name = as_str(record.get('name'))
                if name and record.get('networkType') not in BUILT_IN and record.get('ingress') is not True:
                    found[name] = dict(_info(record), ident=key[len(PREFIX):].strip(b'/').decode('ascii', 'replace'))
    except boltdb.BoltError:
        pass
    return found


def _record(value: bytes) -> Dict[str, Any]:
    """The JSON object behind the store's 8-byte index."""
    try:
        return as_dict(clean(json.loads(value[8:].decode('utf-8', 'replace'))))
    except (ValueError, RecursionError):
        return {}


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

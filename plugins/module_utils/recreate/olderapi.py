"""The body for POST /containers/create as an older Docker engine takes it, and a sentence for each thing that it does not know.

An engine takes no notice of fields that came into its API later: without this, they would be lost without a word. Pure functions, no I/O.
"""
from typing import Any, Dict, Iterator, List, Tuple

from ..formats.values import as_dict, as_list, as_str

# key of HostConfig -> (API version that brought it, how a person calls it)
HOST = (('DeviceRequests', (1, 40), 'device requests (--gpus)'), ('CgroupnsMode', (1, 41), 'a cgroup namespace (--cgroupns)'),
        ('Annotations', (1, 43), 'annotations (--annotation)'))
# group and key of an item of Mounts -> the same
MOUNTS = (('BindOptions', 'NonRecursive', (1, 40), 'bind-recursive=disabled'), ('BindOptions', 'CreateMountpoint', (1, 42), 'bind-create-src'),
          ('BindOptions', 'ReadOnlyNonRecursive', (1, 44), 'bind-recursive=writable'),
          ('BindOptions', 'ReadOnlyForceRecursive', (1, 44), 'bind-recursive=readonly'),
          ('VolumeOptions', 'Subpath', (1, 45), 'volume-subpath: the whole volume is mounted'), ('TmpfsOptions', 'Options', (1, 46), 'options of the tmpfs'))
# what networks and their members know: key of an endpoint -> the same
ENDPOINTS = (('GwPriority', (1, 48), 'gw-priority'),)
START_INTERVAL = (1, 44)
SEVERAL = (1, 44)                       # from here on several networks, and a MAC address in each, go with the body
WITHOUT_IPV4 = (1, 48)


def adapted(body: Dict[str, Any], api: Tuple[int, ...]) -> Tuple[Dict[str, Any], List[str]]:
    """(body without what an engine of this API version does not know, [sentence on each such thing])."""
    host = dict(body['HostConfig'])
    body = dict(body, HostConfig=host)
    lacks = []
    for key, since, what in HOST:
        if host.get(key) and api < since:
            del host[key]
            lacks.append(_lack(what, since))
    if host.get('Mounts'):
        host['Mounts'] = [_mount(as_dict(item), api, lacks) for item in as_list(host['Mounts'])]
    health = as_dict(body.get('Healthcheck'))
    if health.get('StartInterval') and api < START_INTERVAL:
        body['Healthcheck'] = dict((key, value) for key, value in health.items() if key != 'StartInterval')
        if not body['Healthcheck']:
            del body['Healthcheck']
        lacks.append(_lack('a start interval of a health check (--health-start-interval)', START_INTERVAL))
    endpoints = as_dict(as_dict(body.get('NetworkingConfig')).get('EndpointsConfig'))
    if endpoints:
        body['NetworkingConfig'] = {'EndpointsConfig': dict(
            (name, _endpoint(name, as_dict(endpoint), api, number, lacks)) for number, (name, endpoint) in enumerate(endpoints.items()))}
    return body, lacks


def network_lacks(info: Dict[str, Any], api: Tuple[int, ...]) -> Iterator[str]:
    """Sentences on what an engine of this API version does not know of the network INFO, as body.user_networks() gives it."""
    if info.get('disable_ipv4') is True and api < WITHOUT_IPV4:
        yield _lack('networks without IPv4', WITHOUT_IPV4)


def _mount(item: Dict[str, Any], api: Tuple[int, ...], lacks: List[str]) -> Dict[str, Any]:
    made = dict(item)
    for group, key, since, what in MOUNTS:
        options = as_dict(made.get(group))
        if options.get(key) and api < since:
            made[group] = dict((name, value) for name, value in options.items() if name != key)
            if not made[group]:
                del made[group]
            lacks.append(_lack('%s (of the mount %s)' % (what, as_str(item.get('Target'))), since))
    return made


def _endpoint(name: str, endpoint: Dict[str, Any], api: Tuple[int, ...], number: int, lacks: List[str]) -> Dict[str, Any]:
    found = [(key, since, what) for key, since, what in ENDPOINTS if endpoint.get(key) and api < since]
    if number and endpoint.get('MacAddress') and api < SEVERAL:
        found.append(('MacAddress', SEVERAL, 'the MAC address %s, since it is not the first network' % as_str(endpoint['MacAddress'])))
    for dummy, since, what in found:
        lacks.append(_lack('%s (of the network %s)' % (what, name), since))
    left_out = [key for key, dummy, what in found]
    return dict((key, value) for key, value in endpoint.items() if key not in left_out)


def _lack(what: str, since: Tuple[int, int]) -> str:
    return 'This engine does not know %s, which came with version %d.%d of the API: it is left out.' % ((what,) + since)

"""What an engine shows of what it made, against what it was asked for: an engine that takes the API of another one does not take all of it.

Of a setting with a value that may be secret (variables, labels) only the name is told. Pure functions, no I/O.
"""
import json
import re
import signal
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

from ..formats.values import as_dict, as_list, as_str, strings
from ..recreate.naming import split_bind

# asked for, and without meaning for a container that is not attached to, or compared by what comes of it
LEFT_OUT = ('HostConfig', 'NetworkingConfig', 'Image', 'AttachStdin', 'AttachStdout', 'AttachStderr', 'Shell', 'Volumes', 'NetworkDisabled', 'MacAddress')
LEFT_OUT_OF_HOST = ('Binds', 'Mounts', 'Tmpfs', 'NetworkMode', 'VolumeDriver')
LONGEST = 200
REAL_TIME = re.compile(r'(?:SIG)?RTM(IN|AX)([+-]\d+)?\Z')


class Difference(NamedTuple):
    """One setting. SHOWN is None where the engine shows nothing of it."""
    key: str
    asked: str
    shown: Optional[str]


class _Absent(object):
    """In the place of a value that an answer does not have."""


def of_container(body: Dict[str, Any], found: Dict[str, Any]) -> List[Difference]:
    """Differences between a create BODY and FOUND, the answer to inspect."""
    host, shown_host, config = as_dict(body.get('HostConfig')), as_dict(found.get('HostConfig')), as_dict(found.get('Config'))
    differences = [one for key, value in body.items() if key not in LEFT_OUT for one in _setting(key, value, config)]
    differences.extend(one for key, value in host.items() if key not in LEFT_OUT_OF_HOST for one in _setting(key, value, shown_host))
    differences.extend(_mounts(host, shown_host, found))
    differences.extend(_network(body, host, found))
    return differences


def of_volume(driver: str, options: Dict[str, str], labels: Dict[str, str], found: Dict[str, Any]) -> List[Difference]:
    """The same of a volume."""
    differences = [] if found.get('Driver') == driver else [Difference('Driver', driver, _text(found.get('Driver')))]
    for key, asked in (('Options', options), ('Labels', labels)):
        own = as_dict(found.get(key))
        differences.extend(Difference('%s %s' % (key, name), '', None if name not in own else '') for name, value in asked.items() if own.get(name) != value)
    return differences


def of_network(info: Dict[str, Any], found: Dict[str, Any]) -> List[Difference]:
    """The same of a network; INFO: as recreate.body.user_networks() gives it."""
    differences = []
    if found.get('Driver') != (info.get('driver') or 'bridge'):
        differences.append(Difference('Driver', _text(info.get('driver')), _text(found.get('Driver'))))
    for key, shown in (('internal', 'Internal'), ('enable_ipv6', 'EnableIPv6')):
        if (info.get(key) is True) != (found.get(shown) is True):
            differences.append(Difference(shown, _text(info.get(key) is True), _text(found.get(shown))))
    for key, shown in (('options', 'Options'), ('labels', 'Labels')):
        own = as_dict(found.get(shown))
        differences.extend(Difference('%s %s' % (shown, name), _text(value) if key == 'options' else '', _text(own[name]) if name in own else None)
                           for name, value in as_dict(info.get(key)).items() if own.get(name) != value)
    pools = [as_dict(pool) for pool in as_list(as_dict(found.get('IPAM')).get('Config'))]
    for asked in map(as_dict, as_list(info.get('ipam'))):
        own = next((pool for pool in pools if pool.get('Subnet') == asked.get('subnet')), {})
        differences.extend(Difference(shown, _text(asked[key]), _text(own[shown]) if own.get(shown) else None)
                           for key, shown in (('subnet', 'Subnet'), ('gateway', 'Gateway'), ('ip_range', 'IPRange')) if asked.get(key) and
                           own.get(shown) != asked[key])
        reserved = as_dict(own.get('AuxiliaryAddresses'))
        differences.extend(Difference('AuxiliaryAddresses %s' % name, _text(address), _text(reserved[name]) if name in reserved else None)
                           for name, address in as_dict(asked.get('reserved')).items() if reserved.get(name) != address)
    return differences


def sentence(one: Difference) -> str:
    """A Difference for people."""
    asked = ' (asked for: %s)' % one.asked if one.asked else ''
    return 'The engine shows nothing of %s%s.' % (one.key, asked) if one.shown is None else \
        'The engine shows %s as %s%s.' % (one.key, one.shown or 'something else', asked)


def _setting(key: str, asked: Any, own: Dict[str, Any]) -> Iterator[Difference]:
    """Yield what is wrong with one key."""
    shown = own.get(key, _Absent)
    if key in ('Env', 'Labels', 'Sysctls'):
        yield from _named(key, asked, shown)
        return
    alike: Callable[[Any, Any], bool] = ALIKE.get(key, _same)
    if shown is _Absent and not asked or shown is not _Absent and alike(asked, shown):
        return
    hidden = shown is _Absent or shown in (None, '', [], {}) or key == 'LogConfig' and not as_dict(shown).get('Config') and _log(dict(asked, Config={}), shown)
    yield Difference(key, _text(asked), None if hidden else _text(shown))


def _named(key: str, asked: Any, shown: Any) -> Iterator[Difference]:
    """Of variables and labels only the names."""
    if key == 'Env':
        yield from (Difference('the variable %s' % item.partition('=')[0], '', None) for item in strings(asked) if item not in as_list(shown))
        return
    own = as_dict(shown)
    yield from (Difference('%s %s' % (key, name), '', '' if name in own else None) for name, value in as_dict(asked).items() if own.get(name) != value)


def _same(asked: Any, shown: Any) -> bool:
    """ASKED is in SHOWN: engines add to dicts and lists by themselves, and null, '', 0, [] mean the same to them."""
    if isinstance(asked, dict):
        return all(_same(value, as_dict(shown).get(key)) for key, value in asked.items())
    if isinstance(asked, list):
        return all(item in as_list(shown) for item in asked)
    return (asked or None) == (shown or None)


def _exactly(asked: Any, shown: Any) -> bool:
    return as_list(asked) == as_list(shown)


def _entrypoint(asked: Any, shown: Any) -> bool:
    """[''] stands for none."""
    return [item for item in as_list(asked) if item] == [item for item in as_list(shown) if item]


def _stop_signal(asked: Any, shown: Any) -> bool:
    return _number(asked) == _number(shown)


def _number(name: Any) -> Any:
    """The number of a signal by its name or number; the same again for what is none."""
    text = as_str(name).upper()
    if text.isdigit():
        return int(text)
    real_time = REAL_TIME.match(text)
    if real_time:
        return (34 if real_time.group(1) == 'IN' else 64) + int(real_time.group(2) or 0)
    found = getattr(signal, text if text.startswith('SIG') else 'SIG' + text, None)
    return int(found) if isinstance(found, int) else name


def _health(asked: Any, shown: Any) -> bool:
    if as_dict(asked).get('Test') == ['NONE']:
        return as_dict(shown).get('Test') in (None, [], ['NONE'])
    return _same(asked, shown)


def _capabilities(asked: Any, shown: Any) -> bool:
    """ALL is shown as what it means."""
    plain = [item.upper()[4:] if item.upper().startswith('CAP_') else item.upper() for item in strings(shown)]
    return all(name in plain for name in (item.upper()[4:] if item.upper().startswith('CAP_') else item.upper() for item in strings(asked))
               ) or 'ALL' in asked and len(plain) > 5


def _ulimits(asked: Any, shown: Any) -> bool:
    own = dict((as_str(item.get('Name')).replace('RLIMIT_', '').lower(), (item.get('Soft'), item.get('Hard'))) for item in map(as_dict, as_list(shown)))
    return all(own.get(as_str(item.get('Name'))) == (item.get('Soft'), item.get('Hard')) for item in map(as_dict, as_list(asked)))


def _devices(asked: Any, shown: Any) -> bool:
    own = [(item.get('PathOnHost'), item.get('PathInContainer')) for item in map(as_dict, as_list(shown))]
    return all((item.get('PathOnHost'), item.get('PathInContainer')) in own for item in map(as_dict, as_list(asked)))


def _security(asked: Any, shown: Any) -> bool:
    return set(_option(item) for item in strings(asked)) <= set(_option(item) for item in strings(shown))


def _option(text: str) -> str:
    key, dummy, value = text.replace(':', '=', 1).partition('=')
    return key if value in ('', 'true') else '%s=%s' % (key, value)


def _ports(asked: Any, shown: Any) -> bool:
    """An empty address means each, an empty port any."""
    own = as_dict(shown)
    for port, bindings in as_dict(asked).items():
        there = [(as_str(item.get('HostIp')).replace('0.0.0.0', ''), as_str(item.get('HostPort'))) for item in map(as_dict, as_list(own.get(port)))]
        for item in map(as_dict, as_list(bindings)):
            address, number = as_str(item.get('HostIp')).replace('0.0.0.0', ''), as_str(item.get('HostPort'))
            if not any(address == one and number in ('', '0', two) for one, two in there):
                return False
    return True


def _log(asked: Any, shown: Any) -> bool:
    names = [as_str(as_dict(item).get('Type')).replace('k8s-file', 'json-file') for item in (asked, shown)]
    return names[0] == names[1] and _same(as_dict(as_dict(asked).get('Config')), as_dict(as_dict(shown).get('Config')))


def _mode(asked: Any, shown: Any) -> bool:
    """The default is shown as nothing, or by its name."""
    plain = [as_str(item).replace('default', '') for item in (asked, shown)]
    return plain[0] == plain[1]


def _userns(asked: Any, shown: Any) -> bool:
    """Without a user namespace of its own a container has that of the engine, which is called host."""
    return (as_str(asked) or 'host') == (as_str(shown) or 'host')


ALIKE: Dict[str, Callable[[Any, Any], bool]] = {
    'Entrypoint': _entrypoint, 'Cmd': _exactly, 'StopSignal': _stop_signal, 'Healthcheck': _health, 'CapAdd': _capabilities, 'CapDrop': _capabilities,
    'Ulimits': _ulimits, 'Devices': _devices, 'SecurityOpt': _security, 'PortBindings': _ports, 'LogConfig': _log, 'UsernsMode': _userns,
    'UTSMode': _mode, 'CgroupnsMode': _mode}


def _mounts(host: Dict[str, Any], shown_host: Dict[str, Any], found: Dict[str, Any]) -> Iterator[Difference]:
    """Yield what is wrong with volumes, binds and tmpfs."""
    there = dict((as_str(item.get('Destination')).rstrip('/'), item) for item in map(as_dict, as_list(found.get('Mounts'))))
    binds = dict((split_bind(item)[1].rstrip('/'), split_bind(item)[2].split(',')) for item in strings(shown_host.get('Binds')))
    for item in strings(host.get('Binds')):
        source, place, mode = split_bind(item)
        modes = mode.split(',')
        yield from _mount(place, source, 'bind' if source.startswith('/') else 'volume', 'ro' not in modes, there)
        if 'nocopy' in modes and 'nocopy' not in binds.get(place.rstrip('/'), ['nocopy']):
            yield Difference('the option nocopy of the mount %s' % place, '', None)
    for asked in map(as_dict, as_list(host.get('Mounts'))):
        kind, place, source = as_str(asked.get('Type')), as_str(asked.get('Target')), as_str(asked.get('Source'))
        if kind in ('bind', 'volume'):
            yield from _mount(place, source, kind, asked.get('ReadOnly') is not True, there)
        for options in (as_dict(asked.get('VolumeOptions')), as_dict(asked.get('ImageOptions'))):
            if options.get('Subpath') and options['Subpath'] != there.get(place.rstrip('/'), {}).get('SubPath'):
                yield Difference('the folder %s of the volume at %s (the whole volume may be mounted)' % (options['Subpath'], place), '', None)
            for key in ('Labels', 'DriverConfig'):
                if options.get(key):
                    yield Difference('%s of the mount %s' % (key, place), '', None)
    tmpfs = [place.rstrip('/') for place in as_dict(shown_host.get('Tmpfs'))] + [place for place, item in there.items() if item.get('Type') == 'tmpfs']
    wanted = list(as_dict(host.get('Tmpfs'))) + [as_str(item.get('Target')) for item in map(as_dict, as_list(host.get('Mounts')))
                                                 if item.get('Type') == 'tmpfs']
    yield from (Difference('the tmpfs on %s' % place, '', None) for place in wanted if place.rstrip('/') not in tmpfs)


def _mount(place: str, source: str, kind: str, writable: bool, there: Dict[str, Dict[str, Any]]) -> Iterator[Difference]:
    """Yield what is wrong with one volume or bind."""
    own = there.get(place.rstrip('/'))
    if own is None:
        yield Difference('the mount %s' % place, source, None)
        return
    name = as_str(own.get('Name') if kind == 'volume' else own.get('Source'))
    if own.get('Type') != kind or source and name.rstrip('/') != source.rstrip('/'):
        yield Difference('the mount %s' % place, '%s %s' % (kind, source), '%s %s' % (_text(own.get('Type')), name))
    if (own.get('RW') is True) != writable:
        yield Difference('the mount %s' % place, 'rw' if writable else 'ro', 'rw' if own.get('RW') is True else 'ro')


def _network(body: Dict[str, Any], host: Dict[str, Any], found: Dict[str, Any]) -> Iterator[Difference]:
    """Yield what is wrong with networks, addresses and aliases."""
    mode, shown = as_str(host.get('NetworkMode')), as_str(as_dict(found.get('HostConfig')).get('NetworkMode'))
    there = as_dict(as_dict(found.get('NetworkSettings')).get('Networks'))
    wanted = as_dict(as_dict(body.get('NetworkingConfig')).get('EndpointsConfig'))
    special = mode in ('none', 'host') or mode.startswith('container:')
    if special and mode != shown or mode and not special and mode not in ('bridge', 'default') and mode not in there and mode != shown:
        yield Difference('NetworkMode', mode, _text(shown))
    for name, asked in wanted.items():
        if name not in there:
            yield Difference('the network %s' % name, '', None)
            continue
        own, asked = as_dict(there[name]), as_dict(asked)
        lost = [alias for alias in strings(asked.get('Aliases')) if alias not in as_list(own.get('Aliases'))]
        if lost:
            yield Difference('aliases in the network %s' % name, ', '.join(lost), None)
        for key, other in (('IPv4Address', 'IPAddress'), ('IPv6Address', 'GlobalIPv6Address')):
            address = as_str(as_dict(asked.get('IPAMConfig')).get(key))
            given = as_str(as_dict(own.get('IPAMConfig')).get(key)) or as_str(own.get(other))
            if address and address != given:
                yield Difference('the address in the network %s' % name, address, given or None)
        mac = as_str(asked.get('MacAddress'))
        if mac and mac.lower() != as_str(own.get('MacAddress')).lower():
            yield Difference('the MAC address in the network %s' % name, mac, as_str(own.get('MacAddress')) or None)


def _text(value: Any) -> str:
    """A value for people, of bounded length."""
    said = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return said if len(said) <= LONGEST else said[:LONGEST] + ' ...'

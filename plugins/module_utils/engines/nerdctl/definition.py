"""The labels that nerdctl gives to a container, and its runtime spec, as a neutral Definition. The only place that knows what nerdctl calls
these values (nerdctl pkg/labels/labels.go, pkg/containerutil)."""
import re
from typing import Any, Dict, Iterator, List, Tuple

from ...disk import metadata
from ...formats import jsonish
from ...formats.values import as_dict, as_int, as_list, as_str, clean, count_of, strings
from ...records.definition import Binding, Definition, Endpoint, LogDriver, Restart
from ..podman import definition as oci
from ..shared.containerd.objects import json_of
from .stores import PREFIX

LABELS, SPEC, LOG = 'labels.json', 'config.json', 'log-config.json'     # in config/ of a bundle
POLICY = 'containerd.io/restart.policy'
NAMESPACES = ('host', 'none')
_PART = re.compile(r'nerdctl/mounts\.(\d{1,4})\Z')
_OWN = (PREFIX, 'containerd.io/', 'io.containerd.')


def define(labels: Dict[str, str], spec: Any, log: Any = None) -> Definition:
    """The Definition of a container's LABELS, its runtime SPEC and log-config.json. All may hold anything."""
    found = oci.define({}, spec)
    args = found.command
    networks = [name for name in strings(_json(labels, 'networks')) if name]
    mode = next((name for name in networks if name in NAMESPACES or name.startswith('container:')), '')
    hostname = labels.get(PREFIX + 'hostname', '')
    return found._replace(
        name=labels.get(PREFIX + 'name', ''), lost_settings='' if labels else 'the labels of nerdctl',
        labels={key: value for key, value in labels.items() if not key.startswith(_OWN)},
        # the spec has the whole command line: nothing of the image's comes before it
        entrypoint=args[:1], command=args[1:], user=labels.get(PREFIX + 'user', ''), mount_requests=(), sysctls={},
        hostname='' if mode or re.match(r'[0-9a-f]{12}\Z', hostname) else hostname, network_mode=mode,
        networks={} if mode else {name: Endpoint() for name in networks if name != 'bridge'}, published=dict(_ports(labels)),
        stop_timeout=_number(labels.get(PREFIX + 'stop-timeout', '')), extra_hosts=tuple(strings(_json(labels, 'extraHosts'))),
        mac_address=labels.get(PREFIX + 'mac-address', ''), auto_remove=labels.get(PREFIX + 'auto-remove') == 'true', restart=_restart(labels),
        security=found.security._replace(privileged=labels.get(PREFIX + 'privileged') == 'true'), log=_log(log))


def of_records(read: Any) -> Definition:
    """The Definition of the files that READ(name) gives, as a bundle's config/ holds them; a damaged file counts as lost."""
    found = []
    for name in (LABELS, SPEC, LOG):
        try:
            found.append(as_dict(jsonish.loads(read(name) or b'{}')))
        except ValueError:
            found.append({})
    return define(metadata.strings_of({'x': found[0]}, 'x'), found[1], found[2])


def mounts(labels: Dict[str, str]) -> List[Dict[str, Any]]:
    """What `nerdctl inspect` lists as Mounts. A long list is spread over several labels."""
    text = labels.get(PREFIX + 'mounts', '')
    if not text:
        parts = sorted((int(match.group(1)), value) for match, value in ((_PART.match(key), value) for key, value in labels.items()) if match)
        text = ''.join(value for dummy, value in parts)
    try:
        value = clean(jsonish.loads(text.encode('utf-8', 'replace') or b'[]'))
    except ValueError:
        return []
    return [item for item in as_list(value) if isinstance(item, dict)]


def anonymous(labels: Dict[str, str]) -> List[str]:
    """Names of the volumes that nobody named."""
    return strings(_json(labels, 'anonymous-volumes'))


def _json(labels: Dict[str, str], name: str) -> Any:
    try:
        return clean(jsonish.loads(labels.get(PREFIX + name, '').encode('utf-8', 'replace') or b'null'))
    except ValueError:
        return None


def _ports(labels: Dict[str, str]) -> Iterator[Tuple[str, Tuple[Binding, ...]]]:
    found: Dict[str, Tuple[Binding, ...]] = {}
    for item in map(as_dict, as_list(_json(labels, 'ports'))):
        inside, outside = as_int(item.get('ContainerPort')), as_int(item.get('HostPort'))
        if inside:
            key = '%d/%s' % (inside, as_str(item.get('Protocol')) or 'tcp')
            found[key] = found.get(key, ()) + (Binding('' if item.get('HostIP') == '0.0.0.0' else as_str(item.get('HostIP')), str(outside) if outside else ''),)
    return iter(found.items())


def _restart(labels: Dict[str, str]) -> Restart:
    name, dummy, count = labels.get(POLICY, '').partition(':')
    return Restart(name, _number(count) or 0) if name in ('always', 'unless-stopped', 'on-failure') else Restart()


def _number(text: str) -> Any:
    return count_of(text) if len(text) < 10 else None


def _log(value: Any) -> Any:
    driver = metadata.text_of(value, 'driver')
    options = {key: item for key, item in metadata.strings_of(value, 'opts').items() if key in ('max-size', 'max-file')}
    return LogDriver(driver, options) if driver and (driver != 'json-file' or options) else None


def log_of_label(labels: Dict[str, str]) -> Dict[str, Any]:
    """What the label says where log-config.json is lost."""
    return json_of(labels.get(PREFIX + 'log-config', '').encode('utf-8', 'replace'))

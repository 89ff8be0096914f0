"""What kubelet asked the CRI plugin for (or the runtime spec that is left of it), as a neutral Definition. The only place that knows what
CRI calls these values (kubernetes cri-api pkg/apis/runtime/v1/api.proto; containerd keeps them under the names of that file)."""
from typing import Any, Dict, Iterator, Tuple

from ...disk import metadata
from ...formats import jsonish
from ...formats.values import as_dict, as_int, as_list, as_str, clean, strings
from ...records.definition import Binding, Definition, Resources, Restart, Security
from ..podman import definition as oci
from . import podspec

CONTAINER, SANDBOX, SPEC = 'container.json', 'sandbox.json', 'config.json'     # in config/ of a bundle
NODE = 2                                # NamespaceMode: that of the host
PROTOCOLS = {0: 'tcp', 1: 'udp', 2: 'sctp'}


def define(config: Any, sandbox: Any, spec: Any, pod: Any = None) -> Definition:
    """The Definition of a container's CONFIG and its sandbox's; of the runtime spec SPEC alone where they are lost ({}). POD: the pod's
    own specification. All may hold anything. Command line and environment are those of the runtime spec, which has the image's too: the
    image that is made of the container has no others."""
    config, sandbox, pod = as_dict(clean(config)), as_dict(clean(sandbox)), as_dict(clean(pod))
    if not config:
        found = oci.define({}, spec)
        found = found._replace(entrypoint=found.command[:1], command=found.command[1:])
        return found._replace(lost_settings='the record of containerd', mount_requests=(), network_mode='', sysctls={}, health=None)
    linux = as_dict(config.get('linux'))
    security = as_dict(linux.get('security_context'))
    namespaces = as_dict(security.get('namespace_options'))
    image = as_dict(config.get('image'))
    hostname = as_str(sandbox.get('hostname'))
    on_host = as_int(namespaces.get('network')) == NODE
    whole = oci.define({}, spec)
    asked = tuple('%s=%s' % (as_str(item.get('key')), as_str(item.get('value'))) for item in map(as_dict, as_list(config.get('envs'))) if item.get('key'))
    return Definition(
        image_recorded=as_str(image.get('user_specified_image')) or as_str(image.get('image')),
        entrypoint=whole.command[:1] or tuple(strings(config.get('command'))), command=whole.command[1:] or tuple(strings(config.get('args'))),
        env=_env(whole.env, asked), cwd=as_str(config.get('working_dir')) or whole.cwd, user=_user(security, spec),
        labels=metadata.strings_of(config, 'labels'), annotations=metadata.strings_of(config, 'annotations'),
        tty=config.get('tty') is True, stdin_open=config.get('stdin') is True,
        stdin_once=config.get('stdin_once') is True, hostname='' if on_host else hostname, network_mode='host' if on_host else '',
        published=dict(_ports(sandbox)), dns=tuple(strings(as_dict(sandbox.get('dns_config')).get('servers'))) if not on_host else (),
        dns_search=tuple(strings(as_dict(sandbox.get('dns_config')).get('searches'))) if not on_host else (),
        resources=_resources(as_dict(linux.get('resources'))), security=_security(security, namespaces), restart=Restart(podspec.restart(pod)))


def of_records(read: Any) -> Definition:
    """The Definition of the files that READ(name) gives, as a bundle's config/ holds them; a damaged file counts as lost."""
    found = []
    for name in (CONTAINER, SANDBOX, SPEC):
        try:
            found.append(as_dict(jsonish.loads(read(name) or b'{}')))
        except ValueError:
            found.append({})
    return define(found[0].get('Config'), found[1].get('Config'), found[2])


def _env(whole: Tuple[str, ...], asked: Tuple[str, ...]) -> Tuple[str, ...]:
    """That of the runtime spec, without what containerd adds itself, and whatever only the request has."""
    names = {item.partition('=')[0] for item in asked}
    return tuple(item for item in whole if item.partition('=')[0] not in names and not item.startswith('HOSTNAME=')) + asked


def _user(security: Dict[str, Any], spec: Any) -> str:
    """UID, name, or both with a group, that was asked for; else that of the runtime spec. The wrapper of a number is left out where it is 0."""
    user, group = security.get('run_as_user'), security.get('run_as_group')
    name = as_str(security.get('run_as_username'))
    if isinstance(user, dict):
        name = str(as_int(user.get('value')) or 0)
    if not name:
        process = metadata.dict_of(spec, 'process', 'user')
        uid, gid = as_int(process.get('uid')) or 0, as_int(process.get('gid')) or 0
        return '%d:%d' % (uid, gid) if uid or gid else ''
    if isinstance(group, dict):
        name += ':%d' % (as_int(group.get('value')) or 0)
    return name


def _ports(sandbox: Dict[str, Any]) -> Iterator[Tuple[str, Tuple[Binding, ...]]]:
    """Ports of the host that lead into the pod; others are its Services', which no node records."""
    found: Dict[str, Tuple[Binding, ...]] = {}
    for item in map(as_dict, as_list(sandbox.get('port_mappings'))):
        inside, outside = as_int(item.get('container_port')), as_int(item.get('host_port'))
        if inside and outside:
            key = '%d/%s' % (inside, PROTOCOLS.get(as_int(item.get('protocol')) or 0, 'tcp'))
            found[key] = found.get(key, ()) + (Binding(as_str(item.get('host_ip')), str(outside)),)
    return iter(found.items())


def _resources(asked: Dict[str, Any]) -> Resources:
    quota = as_int(asked.get('cpu_quota')) or 0
    shares = as_int(asked.get('cpu_shares')) or 0
    return Resources(memory=max(as_int(asked.get('memory_limit_in_bytes')) or 0, 0), cpu_quota=max(quota, 0),
                     cpu_period=as_int(asked.get('cpu_period')) or 0 if quota > 0 else 0, cpu_shares=shares if shares > 2 else 0,
                     cpuset_cpus=as_str(asked.get('cpuset_cpus')), cpuset_mems=as_str(asked.get('cpuset_mems')))


def _security(asked: Dict[str, Any], namespaces: Dict[str, Any]) -> Security:
    capabilities = as_dict(asked.get('capabilities'))
    return Security(
        privileged=asked.get('privileged') is True, read_only=asked.get('readonly_rootfs') is True,
        cap_add=tuple(strings(capabilities.get('add_capabilities'))), cap_drop=tuple(strings(capabilities.get('drop_capabilities'))),
        options=('no-new-privileges',) if asked.get('no_new_privs') is True else (),
        group_add=tuple(str(item) for item in as_list(asked.get('supplemental_groups')) if isinstance(item, int)),
        pid='host' if as_int(namespaces.get('pid')) == NODE else '', ipc='host' if as_int(namespaces.get('ipc')) == NODE else '')

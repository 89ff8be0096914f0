"""pod.yaml: the container as a pod of its own, for `podman kube play` (podman-kube-play(1)) and Kubernetes."""
import re
from typing import Any, Dict, Iterator, List

from ..formats.values import as_dict, as_int, as_list, as_str, count_of, strings
from ..records.definition import Definition
from ..records.model import Mount
from . import asks, doubts, yamlout
from .body import create_body
from .shell import comment, typed

LABEL = re.compile(r'[^a-z0-9]+')       # what a DNS label (RFC 1123) may not have
RESTART = {'always': 'Always', 'unless-stopped': 'Always', 'on-failure': 'OnFailure'}
MAX_LABEL = 63


def files(definition: Definition) -> Dict[str, str]:
    """{'pod.yaml': text} for containers of pods, and of an engine that keeps a command line of podman; {} for others."""
    return {'pod.yaml': text(definition)} if definition.create_command or definition.pod.name else {}


def text(definition: Definition) -> str:
    """The document. Files of env and secrets are not split off: it holds every value."""
    body = create_body(definition)
    host = as_dict(body.get('HostConfig'))
    volumes: List[Dict[str, Any]] = []
    name = label(definition.pod.container or definition.name)
    container = _container(definition, body, host, volumes)
    spec: Dict[str, Any] = {'containers': [dict({'name': name}, **container)],
                            'restartPolicy': RESTART.get(as_str(as_dict(host.get('RestartPolicy')).get('Name')), 'Never')}
    if volumes:
        spec['volumes'] = volumes
    if as_str(body.get('Hostname')):
        spec['hostname'] = label(body['Hostname'])
    for key, field in (('NetworkMode', 'hostNetwork'), ('PidMode', 'hostPID'), ('IpcMode', 'hostIPC')):
        if host.get(key) == 'host':
            spec[field] = True
    head = _of_cluster(definition, name) if definition.pod.name else [
        'The container %s as a pod of its own, from its recorded configuration: podman kube play pod.yaml' % definition.name,
        'Load the image first (podman load -i ../image.tar) and fill the volumes; each is a claim of the same name.']
    head += ['WARNING: ' + note for note in asks.warnings(definition)] + ['NOTE: ' + note for note in doubts.warnings(definition)]
    document = {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': _metadata(definition, name), 'spec': spec}
    return ''.join(comment(line) + '\n' for line in head) + yamlout.dump(document)


def _metadata(definition: Definition, name: str) -> Dict[str, Any]:
    """Name, namespace and annotations. The pod is a new one, so that nothing that looks after the old one takes it for that."""
    found: Dict[str, Any] = {'name': '%s-pod' % name[:MAX_LABEL - 4]}
    if definition.pod.name:
        found = {'name': '%s-rescued' % label(definition.pod.name)[:MAX_LABEL - 8], 'namespace': label(definition.pod.namespace)}
    elif definition.labels:
        found['annotations'] = dict(definition.labels)
    return found


def _of_cluster(definition: Definition, name: str) -> List[str]:
    """How to use the document with Kubernetes, and how to fill its volumes."""
    pod = _metadata(definition, name)
    found = ['The container %s as a pod of its own, from what kubelet asked for: kubectl apply -f pod.yaml' % definition.name,
             'Before that, load the image on the node: ctr -n k8s.io images import ../image.tar (k3s: k3s ctr images import ../image.tar).',
             'podman kube play pod.yaml works too, after podman load -i ../image.tar.']
    for mount in definition.mounts:
        if mount.type == 'volume' and mount.name:
            found.append('Fill %s, from its archive in ../volumes, unpacked (zstd -d): kubectl exec -i -n %s %s -c %s -- tar -C %s -xf - <%s' % (
                mount.destination, pod['namespace'], pod['name'], name, typed(mount.destination), typed('../volumes/%s.tar' % mount.name)))
    claims = sorted({claim for claim in (_told(definition, mount, 'pvc.name') for mount in definition.mounts) if claim})
    if claims:
        found.append('Claims that have to be there: %s.' % ', '.join(claims))
    return found


def _told(definition: Definition, mount: Mount, key: str) -> str:
    """What the label of a volume says that the node gave it."""
    known = definition.volume_settings.get(mount.name or '')
    return known.labels.get('io.kubernetes.' + key, '') if known is not None else ''


def label(name: str) -> str:
    """NAME as a DNS label: lower case letters, digits, and dashes between them."""
    return LABEL.sub('-', name.lower()).strip('-')[:MAX_LABEL].strip('-') or 'container'


def _container(definition: Definition, body: Dict[str, Any], host: Dict[str, Any], volumes: List[Dict[str, Any]]) -> Dict[str, Any]:
    found: Dict[str, Any] = {'image': as_str(body.get('Image')), 'imagePullPolicy': 'Never'}
    for key, field in (('Entrypoint', 'command'), ('Cmd', 'args')):
        if strings(body.get(key)):
            found[field] = [_kept(item) for item in strings(body[key])]
    env = [dict(zip(('name', 'value'), (item.partition('=')[0], _kept(item.partition('=')[2])))) for item in strings(body.get('Env')) if '=' in item]
    if env:
        found['env'] = env
    for key, field in (('WorkingDir', 'workingDir'),):
        if as_str(body.get(key)):
            found[field] = body[key]
    for key, field in (('Tty', 'tty'), ('OpenStdin', 'stdin')):
        if body.get(key) is True:
            found[field] = True
    ports = list(_ports(host))
    if ports:
        found['ports'] = ports
    mounts = list(_mounts(definition, host, volumes))
    if mounts:
        found['volumeMounts'] = mounts
    security = _security(body, host)
    if security:
        found['securityContext'] = security
    if as_int(host.get('Memory')):
        found['resources'] = {'limits': {'memory': str(host['Memory'])}}
    return found


def _kept(value: str) -> str:
    """A value in which Kubernetes expands nothing: $(NAME) is a variable there, $$(NAME) is not."""
    return value.replace('$(', '$$(')


def _ports(host: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    for port, bindings in sorted(as_dict(host.get('PortBindings')).items()):
        text, dummy, protocol = port.partition('/')
        number = count_of(text)
        for binding in map(as_dict, as_list(bindings)):
            if number is not None:
                item: Dict[str, Any] = {'containerPort': number, 'protocol': (protocol or 'tcp').upper()}
                outside = count_of(as_str(binding.get('HostPort')))
                if outside is not None:
                    item['hostPort'] = outside
                if as_str(binding.get('HostIp')):
                    item['hostIP'] = binding['HostIp']
                yield item


def _mounts(definition: Definition, host: Dict[str, Any], volumes: List[Dict[str, Any]]) -> Iterator[Dict[str, Any]]:
    """Yield volumeMounts; what they name is added to VOLUMES."""
    known = definition.volume_settings
    for number, mount in enumerate(definition.mounts):
        name = 'volume-%d' % number
        if mount.type == 'volume' and mount.name:
            claim = _told(definition, mount, 'pvc.name')
            if definition.pod.name and not claim:       # of the pod itself, or declared by its image
                volumes.append({'name': name, 'emptyDir': {}})
            else:
                claim = claim or (known[mount.name].name if mount.name in known else mount.name)
                volumes.append({'name': name, 'persistentVolumeClaim': {'claimName': claim}})
        elif mount.type == 'bind' and mount.source:
            volumes.append({'name': name, 'hostPath': {'path': mount.source}})
        elif mount.type == 'tmpfs':
            volumes.append({'name': name, 'emptyDir': {'medium': 'Memory'}})
        else:
            continue
        found: Dict[str, Any] = {'name': name, 'mountPath': mount.destination}
        if not mount.rw:
            found['readOnly'] = True
        if mount.subpath:
            found['subPath'] = mount.subpath
        yield found


def _security(body: Dict[str, Any], host: Dict[str, Any]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    user, dummy, group = as_str(body.get('User')).partition(':')
    for value, field in ((user, 'runAsUser'), (group, 'runAsGroup')):
        number = count_of(value)
        if number is not None and len(value) < 11:
            found[field] = number
    if host.get('Privileged') is True:
        found['privileged'] = True
    if host.get('ReadonlyRootfs') is True:
        found['readOnlyRootFilesystem'] = True
    capabilities = {field: strings(host.get(key)) for key, field in (('CapAdd', 'add'), ('CapDrop', 'drop')) if strings(host.get(key))}
    if capabilities:
        found['capabilities'] = capabilities
    return found

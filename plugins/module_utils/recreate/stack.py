"""Services of a swarm as stack files: what `docker stack deploy` takes (Compose file format 3.8), from what the Engine API says of them.

One file for each stack, so that its services get their names back. The client adds labels and aliases of its own to what it deploys; they are
left out here. What the format cannot say is in the notes at the top of the file.
"""
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Set, Tuple

from ..formats.values import as_dict, as_int, as_list, as_str, strings
from ..records.cluster import Cluster, Object, Service
from ..records.definition import NetworkSettings, network_info
from . import yamlout
from .compose import interpolation_safe
from .run import decimal, duration, network_flags
from .shell import comment, words

FORMAT, FORMAT_OF_PIDS = '3.8', '3.9'
OWN_LABELS = ('com.docker.stack.namespace', 'com.docker.stack.image')
# ContainerSpec: key of a service
SAME = (('Image', 'image'), ('Hostname', 'hostname'), ('Dir', 'working_dir'), ('User', 'user'), ('StopSignal', 'stop_signal'), ('TTY', 'tty'),
        ('OpenStdin', 'stdin_open'), ('ReadOnly', 'read_only'), ('Init', 'init'), ('Command', 'entrypoint'), ('Args', 'command'),
        ('CapabilityAdd', 'cap_add'), ('CapabilityDrop', 'cap_drop'), ('Sysctls', 'sysctls'))
UPDATE = (('Parallelism', 'parallelism'), ('FailureAction', 'failure_action'), ('MaxFailureRatio', 'max_failure_ratio'), ('Order', 'order'))
HEALTH = (('Interval', 'interval'), ('Timeout', 'timeout'), ('StartPeriod', 'start_period'))
# what the format has no words for: key of the ContainerSpec, how docker service update says it
UNSAID = (('Groups', '--group-add'), ('OomScoreAdj', '--oom-score-adj'))


class Files(NamedTuple):
    """How the content of a secret or config is called, as seen from the stack files; None where it is not there."""
    secret: Callable[[Object], Optional[str]]
    config: Callable[[Object], Optional[str]]


def stacks(cluster: Cluster) -> List[str]:
    """The names of the stacks of a cluster; '' stands for what was made without one."""
    named = {item.stack for group in (cluster.services, cluster.networks, cluster.secrets, cluster.configs) for item in group
             if not (isinstance(item, Object) and item.built_in)}
    return sorted(name for name in named if name or any(not service.stack for service in cluster.services))


def stack(cluster: Cluster, name: str, files: Files) -> str:
    """Text of the file of the stack NAME, '' for the services that were made without one."""
    document = _Document(cluster, name, files)
    for service in cluster.services:
        if service.stack == name:
            document.add(service)
    document.own()
    value: Dict[str, Any] = {'version': FORMAT_OF_PIDS if document.pids else FORMAT}
    for key, items in (('services', document.services), ('networks', document.networks), ('volumes', document.volumes),
                       ('secrets', document.secrets), ('configs', document.configs)):
        if items:
            value[key] = items
    lines = _head(cluster, name) + ['NOTE %s' % note for note in document.notes]
    return ''.join(comment(line) + '\n' for line in lines) + yamlout.dump(interpolation_safe(value))


def _head(cluster: Cluster, name: str) -> List[str]:
    found = ['Made from the recorded state of the swarm %s.' % cluster.id]
    if name:
        found.append('Deploy it with: docker stack deploy --resolve-image never -c FILE %s' % words([name]))
    else:
        found.append('These services were made without a stack. Deployed with docker stack deploy -c FILE NAME they are called NAME_SERVICE.')
    return found + ['Run create.sh beside this file first: it makes the networks, secrets and configs that belong to no stack.']


def create_script(cluster: Cluster, files: Files) -> str:
    """Text of a script for sh that makes the networks, secrets and configs that belong to no stack."""
    lines = ['#!/bin/sh', comment('Networks, secrets and configs of the swarm %s that belong to no stack. Run it on a manager: sh create.sh' % cluster.id),
             'set -e', 'cd "$(dirname "$0")"']
    for item in cluster.networks:
        if not item.built_in and not item.stack and item.settings is not None:
            flags = network_flags(network_info(item.settings))
            lines.append(_made('network', flags, item.name))
    for kind, items, file_of in (('secret', cluster.secrets, files.secret), ('config', cluster.configs, files.config)):
        for item in items:
            if item.stack or item.built_in:
                continue
            flags = [part for key, value in sorted(item.labels.items()) for part in ('--label', '%s=%s' % (key, value))]
            templating = as_str(as_dict(as_dict(item.document.get('Spec')).get('Templating')).get('Name'))
            if templating:
                flags += ['--template-driver', templating]
            path = file_of(item)
            if kind == 'secret' and item.driver:
                lines.append(_made(kind, flags + ['--driver', item.driver], item.name))
            elif path is None:
                lines.append(comment('The content of the %s %s is not here: docker %s create %s FILE' % (kind, item.name, kind, words([item.name]))))
            else:
                lines.append(_made(kind, flags, item.name, path))
    return '\n'.join(lines) + '\n'


def _made(kind: str, flags: List[str], *arguments: str) -> str:
    """A line that makes an object, unless it is there: the script can be run again."""
    return '%s >/dev/null 2>&1 || %s' % (words(['docker', kind, 'inspect', '--', arguments[0]]),
                                         words(['docker', kind, 'create'] + flags + ['--'] + list(arguments)))


class _Document(object):
    """The parts of one file."""

    def __init__(self, cluster: Cluster, name: str, files: Files) -> None:
        self.services, self.networks, self.volumes = {}, {}, {}      # type: Dict[str, Any], Dict[str, Any], Dict[str, Any]
        self.secrets, self.configs = {}, {}    # type: Dict[str, Any], Dict[str, Any]
        self.notes: List[str] = []
        self.pids = False
        self._cluster, self._name, self._files = cluster, name, files
        self._networks = {item.id: item for item in cluster.networks}
        self._secrets = {item.id: item for item in cluster.secrets}
        self._configs = {item.id: item for item in cluster.configs}
        self._keys: Dict[Tuple[str, str], str] = {}
        self._taken: Dict[str, Set[str]] = {}

    def _short(self, kind: str, name: str) -> str:
        """The key in the file of what is called NAME in the swarm; no two names of a kind have the same."""
        if (kind, name) not in self._keys:
            prefix = self._name + '_'
            short = name[len(prefix):] if self._name and name.startswith(prefix) and len(name) > len(prefix) else name
            taken, key, number = self._taken.setdefault(kind, set()), short, 1
            while key in taken:
                key, number = '%s-%d' % (name, number) if number > 1 else name, number + 1
            taken.add(key)
            self._keys[kind, name] = key
        return self._keys[kind, name]

    def add(self, service: Service) -> None:
        spec = as_dict(service.document.get('Spec'))
        task = as_dict(spec.get('TaskTemplate'))
        container = as_dict(task.get('ContainerSpec'))
        name = self._short('service', service.name)
        if not container:
            self.notes.append('The service %s runs no container (%s): it is not in this file.' % (service.name, as_str(task.get('Runtime'))))
            return
        found = _container(container)
        labels = _labels(as_dict(container.get('Labels')))
        if labels:
            found['labels'] = labels
        mounts = [self._mount(service, as_dict(item)) for item in as_list(container.get('Mounts'))]
        if mounts:
            found['volumes'] = mounts
        networks = self._join(service, name, spec, task)
        if networks:
            found['networks'] = networks
        self._take_uses(found, service, container)
        ports = [_port(as_dict(item)) for item in as_list(as_dict(spec.get('EndpointSpec')).get('Ports'))]
        if ports:
            found['ports'] = ports
        log = as_dict(task.get('LogDriver'))
        if log:
            found['logging'] = _some(driver=log.get('Name'), options=log.get('Options'))
        found['deploy'] = _deploy(spec, task)
        self.pids = self.pids or bool(as_dict(as_dict(task.get('Resources')).get('Limits')).get('Pids'))
        self.services[name] = found
        self._note(service, container, task)

    def _note(self, service: Service, container: Dict[str, Any], task: Dict[str, Any]) -> None:
        for key, flag in UNSAID:
            if container.get(key):
                self.notes.append('Service %s: add %s %s with docker service update.' % (service.name, flag, container[key]))
        if as_dict(container.get('DNSConfig')).get('Options'):
            self.notes.append('Service %s: add --dns-option-add %s with docker service update.' % (
                service.name, ' '.join(strings(container['DNSConfig']['Options']))))
        if any('=' not in item for item in strings(container.get('Env'))):
            self.notes.append('Service %s: variables without a value are left out: the client would take them from its own environment.' % service.name)
        for key in ('SwapBytes', 'MemorySwappiness'):
            if as_dict(task.get('Resources')).get(key):
                self.notes.append('Service %s: %s is in services.json only.' % (service.name, key))
        if not service.networks:
            self.notes.append('Service %s was on no network of its own: the client makes one called default for it.' % service.name)
        for group, lost in (('secret', [use for use in service.secrets if use.id not in self._secrets]),
                            ('config', [use for use in service.configs if use.id not in self._configs])):
            for use in lost:
                self.notes.append('Service %s uses the %s %s, which is not in the recorded state.' % (service.name, group, use.name))

    # -- what a service refers to ------------------------------------------------------------------------------------------

    def _join(self, service: Service, name: str, spec: Dict[str, Any], task: Dict[str, Any]) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        for item in map(as_dict, as_list(task.get('Networks')) or as_list(spec.get('Networks'))):
            target = as_str(item.get('Target'))
            network = self._networks.get(target)
            called = network.name if network is not None else target
            key = self._short('network', called)
            aliases = [alias for alias in strings(item.get('Aliases')) if alias != name]
            found[key] = {'aliases': aliases} if aliases else {}
            if item.get('DriverOpts'):
                self.notes.append('Service %s: driver options of its network %s are in services.json only.' % (service.name, called))
            self.networks[key] = self._network(network) if network is not None and self._owns(network) else {'external': True, 'name': called}
        return found

    def _owns(self, item: Object) -> bool:
        return bool(self._name) and item.stack == self._name and not item.built_in

    def own(self) -> None:
        """Enter what belongs to the stack and no service of it uses."""
        for item in self._cluster.networks:
            if self._owns(item):
                self.networks.setdefault(self._short('network', item.name), self._network(item))
        for kind, items, table, file_of in (('Secret', self._cluster.secrets, self.secrets, self._files.secret),
                                            ('Config', self._cluster.configs, self.configs, self._files.config)):
            for item in items:
                if self._owns(item):
                    table.setdefault(self._short(kind, item.name), self._content(item, item.name, file_of))

    def _network(self, network: Object) -> Dict[str, Any]:
        settings = network.settings or NetworkSettings()
        pools = [{'subnet': pool.subnet} for pool in settings.ipam]
        if any(pool.gateway or pool.ip_range for pool in settings.ipam):
            self.notes.append('Network %s: its gateway or address range cannot be said here; they are in networks.json.' % network.name)
        if settings.enable_ipv6:
            self.notes.append('Network %s has IPv6, which cannot be said here.' % network.name)
        return dict({'name': network.name}, **_some(
            driver=settings.driver, driver_opts=dict(settings.options), attachable=settings.attachable, internal=settings.internal,
            ipam=_some(config=pools), labels=_labels(network.labels)))

    def _take_uses(self, found: Dict[str, Any], service: Service, container: Dict[str, Any]) -> None:
        for kind, table, known, file_of in (('Secret', self.secrets, self._secrets, self._files.secret),
                                            ('Config', self.configs, self._configs, self._files.config)):
            uses = []
            for item in map(as_dict, as_list(container.get(kind + 's'))):
                name, target = as_str(item.get(kind + 'Name')), as_dict(item.get('File'))
                if not target:          # a credential spec: the client enters it by itself
                    self.notes.append('Service %s uses the config %s as no file.' % (service.name, name))
                key = self._short(kind, name)
                table.setdefault(key, self._content(known.get(as_str(item.get(kind + 'ID'))), name, file_of))
                if target:
                    uses.append(dict({'source': key}, **_some(target=target.get('Name'), uid=target.get('UID'), gid=target.get('GID')),
                                     mode=as_int(target.get('Mode')) or 0))
            if uses:
                found[kind.lower() + 's'] = uses

    def _content(self, item: Optional[Object], name: str, file_of: Callable[[Object], Optional[str]]) -> Dict[str, Any]:
        path = file_of(item) if item is not None and self._owns(item) else None
        if item is None or path is None:
            return {'external': True, 'name': name}
        templating = as_str(as_dict(as_dict(item.document.get('Spec')).get('Templating')).get('Name'))
        return dict({'name': name, 'file': './' + path}, **_some(labels=_labels(item.labels), template_driver=templating))

    def _mount(self, service: Service, mount: Dict[str, Any]) -> Dict[str, Any]:
        kind, source = as_str(mount.get('Type')), as_str(mount.get('Source'))
        volume, bind, tmpfs = (as_dict(mount.get(key)) for key in ('VolumeOptions', 'BindOptions', 'TmpfsOptions'))
        found = {'type': kind}
        if source:
            found['source'] = self._volume(source, volume) if kind == 'volume' else source
        found.update(_some(target=mount.get('Target'), read_only=mount.get('ReadOnly'), bind=_some(propagation=bind.get('Propagation')),
                           volume=_some(nocopy=volume.get('NoCopy')), tmpfs=_some(size=tmpfs.get('SizeBytes'))))
        if tmpfs.get('Mode') or volume.get('Subpath') or set(bind) - {'Propagation'}:
            self.notes.append('Service %s: options of its mount at %s are in services.json only.' % (service.name, as_str(mount.get('Target'))))
        return found

    def _volume(self, name: str, options: Dict[str, Any]) -> str:
        """The key of a volume; it is entered in the file."""
        key = self._short('volume', name)
        driver = as_dict(options.get('DriverConfig'))
        own = driver or key != name or as_dict(options.get('Labels'))
        self.volumes[key] = dict({'name': name}, **_some(
            driver=driver.get('Name'), driver_opts=driver.get('Options'), labels=_labels(as_dict(options.get('Labels'))))) if own else \
            {'external': True, 'name': name}
        return key


def _some(**fields: Any) -> Dict[str, Any]:
    return {key: value for key, value in fields.items() if value not in (None, '', False, 0) and value != {} and value != []}


def _labels(labels: Mapping[str, str]) -> Dict[str, str]:
    return {key: value for key, value in labels.items() if key not in OWN_LABELS}


def _container(spec: Dict[str, Any]) -> Dict[str, Any]:
    found = {target: spec[key] for key, target in SAME if spec.get(key) not in (None, '', [], {})}
    environment = [item for item in strings(spec.get('Env')) if '=' in item]
    hosts = [line.split() for line in strings(spec.get('Hosts'))]
    dns = as_dict(spec.get('DNSConfig'))
    found.update(_some(
        environment=environment, extra_hosts=['%s:%s' % (name, parts[0]) for parts in hosts for name in parts[1:]],
        dns=dns.get('Nameservers'), dns_search=dns.get('Search'), healthcheck=_health(as_dict(spec.get('Healthcheck'))),
        ulimits={as_str(item.get('Name')): {'soft': item.get('Soft', 0), 'hard': item.get('Hard', 0)} for item in map(as_dict, as_list(spec.get('Ulimits')))},
        isolation=spec.get('Isolation') if spec.get('Isolation') != 'default' else None, stop_grace_period=_time(spec.get('StopGracePeriod'))))
    return found


def _health(check: Dict[str, Any]) -> Dict[str, Any]:
    test = strings(check.get('Test'))
    if test == ['NONE']:
        return {'disable': True}
    return _some(test=test, retries=check.get('Retries'), **{target: _time(check.get(key)) for key, target in HEALTH})


def _time(value: Any) -> Optional[str]:
    number = as_int(value)
    return duration(number) if number is not None else None


def _port(port: Dict[str, Any]) -> Dict[str, Any]:
    return _some(target=port.get('TargetPort'), published=port.get('PublishedPort'), protocol=port.get('Protocol'), mode=port.get('PublishMode'))


def _deploy(spec: Dict[str, Any], task: Dict[str, Any]) -> Dict[str, Any]:
    mode, details = _mode(as_dict(spec.get('Mode')))
    placement = as_dict(task.get('Placement'))
    found: Dict[str, Any] = {'mode': mode}
    if 'Replicas' in details or 'TotalCompletions' in details:
        found['replicas'] = details.get('Replicas', details.get('TotalCompletions'))
    found.update(_some(
        labels=_labels(as_dict(spec.get('Labels'))), endpoint_mode=as_dict(spec.get('EndpointSpec')).get('Mode'),
        update_config=_update(as_dict(spec.get('UpdateConfig'))), rollback_config=_update(as_dict(spec.get('RollbackConfig'))),
        resources=_resources(as_dict(task.get('Resources'))), restart_policy=_restart(as_dict(task.get('RestartPolicy'))),
        placement=_some(constraints=placement.get('Constraints'), max_replicas_per_node=placement.get('MaxReplicas'), preferences=[
            {'spread': as_str(as_dict(as_dict(item).get('Spread')).get('SpreadDescriptor'))} for item in as_list(placement.get('Preferences'))])))
    return found


def _mode(mode: Dict[str, Any]) -> Tuple[str, Dict[str, Any]]:
    words_of = {'Replicated': 'replicated', 'Global': 'global', 'ReplicatedJob': 'replicated-job', 'GlobalJob': 'global-job'}
    for key, name in words_of.items():
        if key in mode:
            return name, as_dict(mode[key])
    return 'replicated', {}


def _update(config: Dict[str, Any]) -> Dict[str, Any]:
    found = {target: config[key] for key, target in UPDATE if key in config}
    found.update(_some(delay=_time(config.get('Delay')), monitor=_time(config.get('Monitor'))))
    return found


def _restart(policy: Dict[str, Any]) -> Dict[str, Any]:
    return _some(condition=policy.get('Condition'), delay=_time(policy.get('Delay')), max_attempts=policy.get('MaxAttempts'),
                 window=_time(policy.get('Window')))


def _resources(resources: Dict[str, Any]) -> Dict[str, Any]:
    limits, reserved = as_dict(resources.get('Limits')), as_dict(resources.get('Reservations'))
    generic = [as_dict(as_dict(item).get('DiscreteResourceSpec')) for item in as_list(reserved.get('GenericResources'))]
    return _some(limits=_some(pids=limits.get('Pids'), **_amounts(limits)), reservations=_some(generic_resources=[
        {'discrete_resource_spec': {'kind': as_str(item.get('Kind')), 'value': item.get('Value', 0)}} for item in generic if item], **_amounts(reserved)))


def _amounts(amounts: Dict[str, Any]) -> Dict[str, str]:
    found = {}
    nano, memory = as_int(amounts.get('NanoCPUs')), as_int(amounts.get('MemoryBytes'))
    if nano:
        found['cpus'] = decimal(nano)
    if memory:
        found['memory'] = '%db' % memory
    return found

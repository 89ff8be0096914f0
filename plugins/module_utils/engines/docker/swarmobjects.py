"""Objects of a swarm as the Engine API prints them (`docker service inspect` and the like), from the messages of swarmkit.

Field numbers: moby/swarmkit, api/objects.proto, api/specs.proto, api/types.proto. Names: the Engine API, versions 1.41 to 1.51.
Empty values are left out, as the API does with most of them.
"""
import base64
import time
from typing import Any, Dict, List, Optional, Sequence

from ...formats.protobuf import Message

Document = Dict[str, Any]

PROPAGATIONS = ('rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave')
MOUNTS = ('bind', 'volume', 'tmpfs', 'npipe', 'cluster')
AVAILABILITY = ('active', 'pause', 'drain')
ROLES = ('worker', 'manager')
STATES = ('unknown', 'down', 'ready', 'disconnected')
UPDATES = ('', 'updating', 'paused', 'completed', 'rollback_started', 'rollback_paused', 'rollback_completed')
INTERNAL = 'com.docker.swarm.internal'  # label of the ingress network of old versions


def some(**fields: Any) -> Document:
    """FIELDS without those that are empty."""
    return {key: value for key, value in fields.items() if value not in (None, '', False, 0) and value != [] and value != {}}


def word(words: Sequence[str], number: int) -> str:
    """The word of an enumeration; a number that a newer version made is shown as one."""
    return words[number] if number < len(words) else str(number)


def moment(message: Optional[Message]) -> Optional[str]:
    """A Timestamp as RFC 3339 has it, in UTC, with the digits that it needs; None for none."""
    if message is None:
        return None
    seconds, nanos = message.signed(1), message.signed(2)
    if not -62135596800 <= seconds < 253402300800 or not 0 <= nanos < 10 ** 9:
        return None
    part = ('.%09d' % nanos).rstrip('0') if nanos else ''
    return time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds)) + part + 'Z'


def duration(message: Optional[Message]) -> Optional[int]:
    """A Duration in nanoseconds, None for none."""
    return message.signed(1) * 10 ** 9 + message.signed(2) if message is not None else None


def head(message: Message) -> Document:
    """What all objects have: ID, version and times."""
    meta = message.message(2)
    return dict(some(ID=message.text(1), CreatedAt=moment(meta.maybe(2)), UpdatedAt=moment(meta.maybe(3))),
                Version={'Index': meta.message(1).number(1)})


def annotations(message: Message) -> Document:
    return {'Name': message.text(1), 'Labels': message.mapping(2)}


def driver(message: Optional[Message]) -> Optional[Document]:
    return some(Name=message.text(1), Options=message.mapping(2)) if message is not None else None


# -- services --------------------------------------------------------------------------------------------------------------------------


def service(message: Message) -> Document:
    """Of a Service."""
    found = dict(head(message), Spec=service_spec(message.message(3)), Endpoint=_endpoint(message.message(4)))
    if message.has(6):
        found['PreviousSpec'] = service_spec(message.message(6))
    status = message.maybe(5)
    if status is not None:
        found['UpdateStatus'] = some(State=word(UPDATES, status.number(1)), StartedAt=moment(status.maybe(2)),
                                     CompletedAt=moment(status.maybe(3)), Message=status.text(4))
    return found


def service_spec(spec: Message) -> Document:
    """Of a ServiceSpec."""
    return dict(annotations(spec.message(1)), TaskTemplate=_task(spec.message(2)), Mode=_mode(spec), **some(
        UpdateConfig=_update(spec.maybe(6)), RollbackConfig=_update(spec.maybe(9)), Networks=_attachments(spec.messages(7)),
        EndpointSpec=_endpoint_spec(spec.maybe(8))))


def _mode(spec: Message) -> Document:
    if spec.has(3):
        return {'Replicated': {'Replicas': spec.message(3).number(1)}}
    if spec.has(4):
        return {'Global': {}}
    if spec.has(10):
        job = spec.message(10)
        return {'ReplicatedJob': {'MaxConcurrent': job.number(1), 'TotalCompletions': job.number(2)}}
    return {'GlobalJob': {}} if spec.has(11) else {}


def _task(task: Message) -> Document:
    found = some(Resources=_resources(task), Networks=_attachments(task.messages(7)), LogDriver=driver(task.maybe(6)),
                 RestartPolicy=_restart(task.maybe(4)), Placement=_placement(task.maybe(5)))
    found['ForceUpdate'] = task.number(9)
    if task.has(1):
        found['ContainerSpec'] = _container(task.message(1))
        found['Runtime'] = 'container'
    elif task.has(10):
        found['Runtime'] = task.message(10).text(1)
    return found


def _container(spec: Message) -> Document:
    found = some(
        Image=spec.text(1), Labels=spec.mapping(2), Command=spec.texts(3), Args=spec.texts(4), Hostname=spec.text(14), Env=spec.texts(5),
        Dir=spec.text(6), User=spec.text(7), Groups=spec.texts(11), Privileges=_privileges(spec.maybe(22)), StopSignal=spec.text(20), TTY=spec.flag(13),
        OpenStdin=spec.flag(18), ReadOnly=spec.flag(19), Mounts=[_mount(each) for each in spec.messages(8)], Hosts=spec.texts(17),
        DNSConfig=_dns(spec.maybe(15)), Healthcheck=_health(spec.maybe(16)), Sysctls=spec.mapping(26), CapabilityAdd=spec.texts(27),
        CapabilityDrop=spec.texts(28), Ulimits=[some(Name=each.text(1), Soft=each.signed(2), Hard=each.signed(3)) for each in spec.messages(29)],
        OomScoreAdj=spec.signed(30), Secrets=[_use(each, 'Secret') for each in spec.messages(12)],
        Configs=[_use(each, 'Config') for each in spec.messages(21)])
    found['Isolation'] = word(('default', 'process', 'hyperv'), spec.number(24))
    if spec.has(23):
        found['Init'] = spec.message(23).flag(1)
    if spec.has(9):
        found['StopGracePeriod'] = duration(spec.message(9))
    return found


def _use(message: Message, kind: str) -> Document:
    found: Document = {kind + 'ID': message.text(1), kind + 'Name': message.text(2)}
    target = message.maybe(3)
    if target is not None:
        found['File'] = {'Name': target.text(1), 'UID': target.text(2), 'GID': target.text(3), 'Mode': target.number(4)}
    elif message.has(4):
        found['Runtime'] = {}
    return found


def _mount(mount: Message) -> Document:
    bind, volume, tmpfs = mount.maybe(5), mount.maybe(6), mount.maybe(7)
    return some(
        Type=word(MOUNTS, mount.number(1)), Source=mount.text(2), Target=mount.text(3), ReadOnly=mount.flag(4),
        BindOptions=bind and some(Propagation=word(PROPAGATIONS, bind.number(1)), NonRecursive=bind.flag(2), CreateMountpoint=bind.flag(3),
                                  ReadOnlyNonRecursive=bind.flag(4), ReadOnlyForceRecursive=bind.flag(5)),
        VolumeOptions=volume and some(NoCopy=volume.flag(1), Labels=volume.mapping(2), DriverConfig=driver(volume.maybe(3)), Subpath=volume.text(4)),
        TmpfsOptions=tmpfs and some(SizeBytes=tmpfs.signed(1), Mode=tmpfs.number(2)))


def _privileges(message: Optional[Message]) -> Optional[Document]:
    if message is None:
        return None
    credentials, selinux, seccomp = message.maybe(1), message.maybe(2), message.maybe(3)
    return some(
        CredentialSpec=credentials and some(File=credentials.text(1), Registry=credentials.text(2), Config=credentials.text(3)),
        SELinuxContext=selinux and some(Disable=selinux.flag(1), User=selinux.text(2), Role=selinux.text(3), Type=selinux.text(4),
                                        Level=selinux.text(5)),
        Seccomp=seccomp and some(Mode=word(('default', 'unconfined', 'custom'), seccomp.number(1)),
                                 Profile=base64.b64encode(seccomp.raw(2)).decode('ascii')),
        AppArmor=some(Mode=word(('default', 'disabled'), message.message(4).number(1))) if message.has(4) else None,
        NoNewPrivileges=message.flag(5))


def _dns(message: Optional[Message]) -> Optional[Document]:
    return some(Nameservers=message.texts(1), Search=message.texts(2), Options=message.texts(3)) if message is not None else None


def _health(message: Optional[Message]) -> Optional[Document]:
    if message is None:
        return None
    return some(Test=message.texts(1), Interval=duration(message.maybe(2)), Timeout=duration(message.maybe(3)), Retries=message.signed(4),
                StartPeriod=duration(message.maybe(5)), StartInterval=duration(message.maybe(6)))


def _resources(task: Message) -> Optional[Document]:
    """The limit of processes is kept with the container, and printed with the other limits."""
    pids = task.message(1).signed(25)
    both = task.maybe(2)
    if both is None:
        return some(Limits=some(Pids=pids))
    limits, reserved = both.maybe(1), both.maybe(2)
    return some(
        Limits=some(Pids=pids, **(some(NanoCPUs=limits.signed(1), MemoryBytes=limits.signed(2)) if limits is not None else {})),
        Reservations=reserved and some(NanoCPUs=reserved.signed(1), MemoryBytes=reserved.signed(2),
                                       GenericResources=[_generic(each) for each in reserved.messages(3)]),
        SwapBytes=both.message(3).signed(1), MemorySwappiness=both.message(4).signed(1) if both.has(4) else None)


def _generic(message: Message) -> Document:
    named, discrete = message.maybe(1), message.maybe(2)
    return some(NamedResourceSpec=named and some(Kind=named.text(1), Value=named.text(2)),
                DiscreteResourceSpec=discrete and some(Kind=discrete.text(1), Value=discrete.signed(2)))


def _restart(message: Optional[Message]) -> Optional[Document]:
    if message is None:
        return None
    found: Document = {'Condition': word(('none', 'on-failure', 'any'), message.number(1)), 'MaxAttempts': message.number(3)}
    for key, field in (('Delay', 2), ('Window', 4)):
        if message.has(field):
            found[key] = duration(message.message(field))
    return found


def _placement(message: Optional[Message]) -> Optional[Document]:
    if message is None:
        return None
    return some(
        Constraints=message.texts(1), Preferences=[{'Spread': {'SpreadDescriptor': each.message(1).text(1)}} for each in message.messages(2)],
        Platforms=[some(Architecture=each.text(1), OS=each.text(2)) for each in message.messages(3)], MaxReplicas=message.number(4))


def _attachments(messages: List[Message]) -> List[Document]:
    return [some(Target=each.text(1), Aliases=each.texts(2), DriverOpts=each.mapping(4)) for each in messages]


def _update(message: Optional[Message]) -> Optional[Document]:
    if message is None:
        return None
    return dict(some(Delay=duration(message.maybe(2)), Monitor=duration(message.maybe(4))),
                Parallelism=message.number(1), FailureAction=word(('pause', 'continue', 'rollback'), message.number(3)),
                MaxFailureRatio=round(message.float32(5), 7), Order=word(('stop-first', 'start-first'), message.number(6)))


def _endpoint(message: Message) -> Document:
    return some(Spec=_endpoint_spec(message.maybe(1)), Ports=[_port(each) for each in message.messages(2)],
                VirtualIPs=[some(NetworkID=each.text(1), Addr=each.text(2)) for each in message.messages(3)])


def _endpoint_spec(message: Optional[Message]) -> Optional[Document]:
    if message is None:
        return None
    return some(Mode=word(('vip', 'dnsrr'), message.number(1)), Ports=[_port(each) for each in message.messages(2)])


def _port(message: Message) -> Document:
    return some(Name=message.text(1), Protocol=word(('tcp', 'udp', 'sctp'), message.number(2)), TargetPort=message.number(3),
                PublishedPort=message.number(4), PublishMode=word(('ingress', 'host'), message.number(5)))


# -- the other objects -----------------------------------------------------------------------------------------------------------------


def secret(message: Message) -> Document:
    """Of a Secret, without its content."""
    spec = message.message(3)
    return dict(head(message), Spec=dict(annotations(spec.message(1)), **some(Templating=driver(spec.maybe(3)), Driver=driver(spec.maybe(4)))))


def config(message: Message) -> Document:
    """Of a Config, with its content."""
    spec = message.message(3)
    return dict(head(message), Spec=dict(annotations(spec.message(1)), Data=base64.b64encode(spec.raw(2)).decode('ascii'),
                                         **some(Templating=driver(spec.maybe(3)))))


def network(message: Message) -> Document:
    """Of a Network, as `docker network inspect` on a manager prints it, without what runs on it."""
    spec, state, ipam = message.message(3), message.message(4), message.message(5)
    pools = [some(Subnet=each.text(2), IPRange=each.text(3), Gateway=each.text(4), AuxiliaryAddresses=each.mapping(5)) for each in ipam.messages(3)]
    named = annotations(spec.message(1))
    return dict(some(
        Name=named['Name'], Labels=named['Labels'], Id=message.text(1), Created=moment(message.message(2).maybe(2)), Driver=state.text(1),
        Options=state.mapping(2), EnableIPv6=spec.flag(3), Internal=spec.flag(4), Attachable=spec.flag(6),
        Ingress=spec.flag(7) or named['Name'] == 'ingress' and INTERNAL in named['Labels'],
        ConfigFrom=some(Network=spec.text(8))), Scope='swarm',
        IPAM=some(Driver=ipam.message(1).text(1), Options=ipam.message(1).mapping(2), Config=pools))


def chosen_pools(message: Message) -> List[Document]:
    """The subnets of a network that somebody chose: the engine chooses again where none was."""
    return [some(Subnet=each.text(2), IPRange=each.text(3), Gateway=each.text(4)) for each in message.message(3).message(5).messages(3) if each.text(2)]


def chosen_driver(message: Message) -> Document:
    """Name and options of the driver of a network as somebody gave them, without what the engine added."""
    return driver(message.message(3).message(2)) or {}


def node(message: Message) -> Document:
    """Of a Node, as it was written last."""
    spec, said, status, manager = message.message(3), message.message(4), message.message(5), message.maybe(6)
    platform, resources, engine, tls = said.message(2), said.message(3), said.message(4), said.maybe(5)
    description = some(
        Hostname=said.text(1), Platform=some(Architecture=platform.text(1), OS=platform.text(2)),
        Resources=some(NanoCPUs=resources.signed(1), MemoryBytes=resources.signed(2), GenericResources=[_generic(each) for each in resources.messages(3)]),
        Engine=some(EngineVersion=engine.text(1), Labels=engine.mapping(2),
                    Plugins=[some(Type=each.text(1), Name=each.text(2)) for each in engine.messages(3)]),
        TLSInfo=tls and some(TrustRoot=tls.text(1), CertIssuerSubject=base64.b64encode(tls.raw(2)).decode('ascii'),
                             CertIssuerPublicKey=base64.b64encode(tls.raw(3)).decode('ascii')))
    return dict(head(message), Spec=dict(annotations(spec.message(1)), Role=word(ROLES, spec.number(2)),
                                         Availability=word(AVAILABILITY, spec.number(4))), Description=description,
                Status=some(State=word(STATES, status.number(1)), Message=status.text(2), Addr=status.text(3)), **some(
                    ManagerStatus=manager and some(Leader=manager.flag(3), Reachability=word(
                        ('unknown', 'unreachable', 'reachable'), manager.number(4)), Addr=manager.text(2))))


def cluster(message: Message) -> Document:
    """Of the Cluster, without its keys, certificates and join tokens."""
    spec = message.message(3)
    raft = spec.message(4)
    return dict(head(message), Spec=dict(
        annotations(spec.message(1)),
        Orchestration=some(TaskHistoryRetentionLimit=spec.message(3).signed(1)),
        Raft=some(SnapshotInterval=raft.number(1), KeepOldSnapshots=raft.number(2), LogEntriesForSlowFollowers=raft.number(3),
                  HeartbeatTick=raft.number(4), ElectionTick=raft.number(5)),
        Dispatcher=some(HeartbeatPeriod=duration(spec.message(5).maybe(1))), CAConfig=some(NodeCertExpiry=duration(spec.message(6).maybe(1))),
        TaskDefaults=some(LogDriver=driver(spec.message(7).maybe(1))), EncryptionConfig={'AutoLockManagers': spec.message(8).flag(1)}),
        **some(DefaultAddrPool=message.texts(11), SubnetSize=message.number(12), DataPathPort=message.number(13)))

"""Records of a cluster of hosts that runs services, as one of its nodes has it on its disk. No engine's word is needed to read them.

Each object has its `document`: what the engine itself would print of it. That is for people and for those who write for the engine again.
Documents and `content` hold secrets; facts are made of the other fields.
"""
from typing import Any, Dict, NamedTuple, Optional, Tuple

from ..formats.values import NOTHING
from .definition import NetworkSettings
from .model import COMPLETE, Problem

MANAGER = 'manager'                     # keeps the state of the whole cluster
WORKER = 'worker'                       # knows only what runs on it


class Object(NamedTuple):
    """A network, a secret or a config. `content`: bytes of a secret or config, None where the cluster does not hold it. `stack`: the stack that it
    was deployed with, ''. `built_in`: the engine makes it itself. `settings`: what somebody chose for a network."""
    id: str
    name: str
    labels: Dict[str, str] = NOTHING
    stack: str = ''
    created: Optional[str] = None
    updated: Optional[str] = None
    driver: str = ''
    built_in: bool = False
    settings: Optional[NetworkSettings] = None
    content: Optional[bytes] = None
    document: Dict[str, Any] = NOTHING


class Node(NamedTuple):
    """A host of the cluster. `state`: as the manager wrote it last."""
    id: str
    hostname: str
    role: str = WORKER
    availability: str = ''
    state: str = ''
    address: str = ''
    engine_version: str = ''
    labels: Dict[str, str] = NOTHING
    document: Dict[str, Any] = NOTHING


class Use(NamedTuple):
    """A secret or config as a service has it. `target`: the name of the file in the container, '' where it is no file."""
    id: str
    name: str
    target: str = ''


class Service(NamedTuple):
    """One service. `mode`: replicated, global, replicated-job or global-job; `replicas` None for a mode without such a number. `networks`: names.
    `mounts`: (type, source, target, read-only). `ports`: (protocol, port in the container, published port, ingress or host)."""
    id: str
    name: str
    stack: str = ''
    image: str = ''
    mode: str = 'replicated'
    replicas: Optional[int] = None
    command: Tuple[str, ...] = ()
    args: Tuple[str, ...] = ()
    env: Tuple[str, ...] = ()
    labels: Dict[str, str] = NOTHING
    container_labels: Dict[str, str] = NOTHING
    networks: Tuple[str, ...] = ()
    mounts: Tuple[Tuple[str, str, str, bool], ...] = ()
    ports: Tuple[Tuple[str, int, int, str], ...] = ()
    secrets: Tuple[Use, ...] = ()
    configs: Tuple[Use, ...] = ()
    constraints: Tuple[str, ...] = ()
    created: Optional[str] = None
    updated: Optional[str] = None
    document: Dict[str, Any] = NOTHING


class Task(NamedTuple):
    """A container of this host that the cluster made for a service."""
    container_id: str
    container: Optional[str]
    service_id: str
    service: str
    task_id: str
    task: str
    node_id: str


class Cluster(NamedTuple):
    """What one node knows. `status`: complete, partial or lost, of its state of the cluster (complete for a worker, which has none). `locked`: the
    state cannot be read without the key; `autolock`: a key belongs to this cluster. `last_change`: the index of the last change that was read."""
    kind: str                           # word of the engine for such a cluster, as in `docker swarm`
    id: str = ''
    role: str = WORKER
    node_id: str = ''
    status: str = COMPLETE
    locked: bool = False
    autolock: bool = False
    last_change: int = 0
    created: Optional[str] = None
    path: bytes = b''                   # of the state, on the managed node
    nodes: Tuple[Node, ...] = ()
    services: Tuple[Service, ...] = ()
    networks: Tuple[Object, ...] = ()
    secrets: Tuple[Object, ...] = ()
    configs: Tuple[Object, ...] = ()
    tasks: Tuple[Task, ...] = ()
    managers: Tuple[str, ...] = ()      # addresses of managers, where a worker knows them
    problems: Tuple[Problem, ...] = ()
    document: Dict[str, Any] = NOTHING

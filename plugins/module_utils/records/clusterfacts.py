"""A cluster as plain data, for facts, reports and files that people read: without content of secrets and configs, other values redacted."""
from typing import Any, Dict, Iterable

from ..formats import redact, wording
from .cluster import Cluster, Object, Service


def facts(cluster: Cluster, redacted: bool = True) -> Dict[str, Any]:
    """JSON types. REDACTED: without values of environment variables, and of labels and arguments that look secret."""
    return {
        'kind': cluster.kind, 'id': wording.show(cluster.id), 'role': cluster.role, 'node_id': wording.show(cluster.node_id), 'status': cluster.status,
        'locked': cluster.locked, 'autolock': cluster.autolock, 'created': cluster.created, 'last_change': cluster.last_change,
        'path': wording.text(cluster.path), 'managers': list(cluster.managers),
        'nodes': [dict(id=node.id, hostname=node.hostname, role=node.role, availability=node.availability, state=node.state, address=node.address,
                       engine_version=node.engine_version, labels=_values(node.labels, redacted)) for node in cluster.nodes],
        'services': [_service(service, redacted) for service in cluster.services],
        'networks': _objects(cluster.networks, redacted), 'secrets': _objects(cluster.secrets, redacted),
        'configs': _objects(cluster.configs, redacted), 'tasks': [dict(task._asdict()) for task in cluster.tasks],
        'problems': [dict(item._asdict()) for item in cluster.problems],
    }


def _values(labels: Dict[str, str], redacted: bool, environment: Iterable[str] = ()) -> Dict[str, str]:
    return redact.values(labels, environment) if redacted else dict(labels)


def _objects(items: Iterable[Object], redacted: bool) -> Any:
    return [dict(id=item.id, name=item.name, stack=item.stack, driver=item.driver, created=item.created, updated=item.updated, built_in=item.built_in,
                 labels=_values(item.labels, redacted), bytes=len(item.content) if item.content is not None else None) for item in items]


def _service(service: Service, redacted: bool) -> Dict[str, Any]:
    env = dict(item.partition('=')[::2] for item in service.env)
    return {
        'id': service.id, 'name': service.name, 'stack': service.stack, 'image': service.image, 'mode': service.mode, 'replicas': service.replicas,
        'command': redact.argv(service.command) if redacted else list(service.command),
        'args': redact.argv(service.args) if redacted else list(service.args), 'env': redact.env(service.env) if redacted else env,
        'labels': _values(service.labels, redacted, service.env), 'container_labels': _values(service.container_labels, redacted, service.env),
        'networks': list(service.networks), 'constraints': list(service.constraints),
        'mounts': [dict(type=kind, source=source, target=target, read_only=read_only) for kind, source, target, read_only in service.mounts],
        'ports': [dict(protocol=protocol, target=target, published=published, mode=mode) for protocol, target, published, mode in service.ports],
        'secrets': [dict(use._asdict()) for use in service.secrets], 'configs': [dict(use._asdict()) for use in service.configs],
        'created': service.created, 'updated': service.updated,
    }

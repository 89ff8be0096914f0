"""What a query cannot join by itself is added to the facts of a host before the rules of an audit are applied."""
from __future__ import annotations

import posixpath
import re
from typing import Any

from .plaindata import plain
from .records import one_line
from .sizes import human_bytes

IGNORE_LABEL = 'lifeboat.audit.ignore'
# Where well-known images keep their data, by the last part of the image's name. Used where the image
# itself declares no volume (or its config is lost).
STATE_PATHS: dict[str, tuple[str, ...]] = {
    'postgres': ('/var/lib/postgresql/data', '/var/lib/postgresql'), 'postgis': ('/var/lib/postgresql/data', '/var/lib/postgresql'),
    'timescaledb': ('/var/lib/postgresql/data',), 'mysql': ('/var/lib/mysql',), 'mariadb': ('/var/lib/mysql',),
    'percona': ('/var/lib/mysql',), 'mongo': ('/data/db',), 'redis': ('/data',), 'valkey': ('/data',),
    'elasticsearch': ('/usr/share/elasticsearch/data',), 'opensearch': ('/usr/share/opensearch/data',),
    'influxdb': ('/var/lib/influxdb2', '/var/lib/influxdb'),
    'prometheus': ('/prometheus',), 'grafana': ('/var/lib/grafana',), 'rabbitmq': ('/var/lib/rabbitmq',),
    'kafka': ('/var/lib/kafka/data',), 'cp-kafka': ('/var/lib/kafka/data',), 'zookeeper': ('/data',), 'cassandra': ('/var/lib/cassandra',),
    'clickhouse-server': ('/var/lib/clickhouse',), 'clickhouse': ('/var/lib/clickhouse',), 'neo4j': ('/data',), 'openldap': ('/var/lib/ldap',),
    'gitea': ('/data',), 'forgejo': ('/data',), 'gitlab-ce': ('/var/opt/gitlab',), 'gitlab-ee': ('/var/opt/gitlab',),
    'nextcloud': ('/var/www/html',), 'wordpress': ('/var/www/html',), 'jenkins': ('/var/jenkins_home',), 'registry': ('/var/lib/registry',),
    'vaultwarden': ('/data',), 'home-assistant': ('/config',), 'portainer-ce': ('/data',), 'minio': ('/data',), 'nexus3': ('/nexus-data',),
    'sonarqube': ('/opt/sonarqube/data',), 'couchdb': ('/opt/couchdb/data',), 'etcd': ('/etcd-data',), 'consul': ('/consul/data',),
    'vault': ('/vault/file',), 'keycloak': ('/opt/keycloak/data',), 'mosquitto': ('/mosquitto/data',), 'uptime-kuma': ('/app/data',),
    'n8n': ('/home/node/.n8n',), 'paperless-ngx': ('/usr/src/paperless/data',), 'loki': ('/loki',), 'victoria-metrics': ('/victoria-metrics-data',),
}


def short(value: Any) -> str:
    """A name for people: anonymous volumes have names of 64 letters."""
    return value[:12] if isinstance(value, str) and re.match(r'[0-9a-f]{64}\Z', value) else one_line(value)


def below(path: str, folder: str) -> bool:
    """Whether PATH is FOLDER or lies in it."""
    folder = folder.rstrip('/')
    return path == folder or path.startswith(folder + '/')


# Mounted here, nothing is meant to last.
FLEETING = ('/tmp', '/var/tmp', '/run', '/var/run', '/var/cache', '/var/log', '/cache', '/dev/shm', '/var/lib/nginx')


def _is_fleeting(path: str) -> bool:
    return any(below(path, place) for place in FLEETING)


def _slug(text: str) -> str:
    return re.sub(r'[^a-z0-9_.-]+', '-', text.lower()).strip('-_.') or 'data'


def _ignored(labels: Any) -> list[str]:
    value = labels.get(IGNORE_LABEL) if isinstance(labels, dict) else None
    return [code for code in re.split(r'[,\s]+', value) if code] if isinstance(value, str) else []


def as_dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def enrich(facts: Any) -> dict[str, Any]:
    """A plain copy of `docker_layers` with what rules need beside what the module says.

    Everywhere: `object`, `object_type` (container, volume, layer, host) and `ignore` (codes of the label). Containers:
    `service`, `project`, `unmounted[]`, `anonymous_volumes[]`, `empty_volumes[]`; their databases: `mount`, `volume_name`,
    `volume_path`, `copy_from`. Volumes: `orphan`; orphan layers and volumes are joined in `orphans.layers[]` and `orphans.volume_items[]`.
    """
    facts = as_dict(plain(facts))
    volumes = {volume.get('name'): volume for volume in as_dicts(facts.get('volumes'))}
    for volume in volumes.values():
        _enrich_volume(volume)
    roots = {root.get('path'): root for root in as_dicts(facts.get('roots'))}
    for container in as_dicts(facts.get('containers')):
        _enrich_container(container, volumes, as_dict(roots.get(container.get('root'))).get('volume_path'))
    orphans = as_dict(facts.get('orphans'))
    for layer in as_dicts(orphans.get('writable_layers')):
        layer.update(object=layer.get('path'), object_type='layer', ignore=[])
        for database in as_dicts(layer.get('databases')):
            database.update(object=layer.get('path'), object_type='layer', ignore=[], layer=layer.get('path'))
    for name in orphans.get('volumes') or ():
        if name in volumes:
            volumes[name]['orphan'] = True
    facts['orphans'] = orphans
    for item in as_dicts(facts.get('problems')):
        item.setdefault('object_type', 'host')
        item['ignore'] = []
    return facts


def _enrich_volume(volume: dict[str, Any]) -> None:
    common = {'object': volume.get('name'), 'object_type': 'volume', 'ignore': _ignored(volume.get('labels'))}
    volume.update(common, orphan=not volume.get('used_by'))
    labels = as_dict(volume.get('labels'))
    volume['project'] = labels.get('com.docker.compose.project')
    real = [item for item in as_dicts(volume.get('databases')) if not item.get('empty') and not item.get('noise')]
    volume['holds'] = describe(real)
    for item in as_dicts(volume.get('databases')):
        item.update(common, volume=volume.get('name'))
    for item in as_dicts(volume.get('problems')):
        item.update(common)


def describe(databases: list[dict[str, Any]]) -> str | None:
    """'PostgreSQL 15 (1.2 GiB), Redis 7.0 (88 B)' of the largest three."""
    texts = []
    for item in sorted(databases, key=lambda one: -(one.get('bytes') or 0))[:3]:
        texts.append(f'{label(item)} ({human_bytes(item.get("bytes"))})')
    if len(databases) > 3:
        texts.append(f'{len(databases) - 3} more')
    return ', '.join(texts) or None


def label(database: dict[str, Any]) -> str:
    return ' '.join(one_line(part) for part in (database.get('title') or database.get('engine'), database.get('version')) if part)


def _enrich_container(container: dict[str, Any], volumes: dict[Any, dict[str, Any]], volume_path: Any) -> None:
    """VOLUME_PATH: of the container's root, as the facts have it."""
    labels = as_dict(container.get('labels'))
    name = container.get('name') or str(container.get('id') or '')[:12]
    common = {'object': name, 'object_type': 'container', 'ignore': _ignored(labels), 'container': name}
    container.update(common, name=name)     # docker takes the ID where the name is lost
    container['service'] = labels.get('com.docker.compose.service') or name
    container['project'] = labels.get('com.docker.compose.project')
    mounts = as_dicts(container.get('mounts'))
    declared = [path for path in container.get('image_volumes') or () if isinstance(path, str)]
    for item in as_dicts(container.get('databases')):
        item.update(common, service=container['service'], running=as_dict(container.get('state')).get('running'), label=label(item))
        path = item.get('path') or '/'
        mount = posixpath.dirname(path) if item.get('single_file') else path
        for volume in declared + list(_known_paths(container)):
            if below(mount, volume):
                mount = volume
        item['copy_from'] = mount.rstrip('/') + '/.'
        if mount == '/':                # a volume cannot be mounted there: the program has to be told another place
            mount, item['copy_from'] = '/data', path
        item['mount'] = mount
        item['volume_name'] = f'{_slug(name)}-{_slug(posixpath.basename(mount.rstrip("/")) or "root")}'
        # an engine that does not say it has a place for it that its user knows
        known = volume_path if isinstance(volume_path, str) else 'PATH_OF_VOLUME_{name}'
        item['volume_path'] = known.replace('{name}', item['volume_name'])
    for item in as_dicts(container.get('problems')):
        item.update(common)
    _join_mounts(container, common, mounts, volumes)
    _find_unmounted(container, common, mounts, declared)


def _known_paths(container: dict[str, Any]) -> tuple[str, ...]:
    reference = as_dict(container.get('image')).get('reference')
    if not isinstance(reference, str):
        return ()
    name = reference.split('@')[0].rsplit('/', 1)[-1].split(':')[0]
    return STATE_PATHS.get(name, ())


def _join_mounts(container: dict[str, Any], common: dict[str, Any], mounts: list[dict[str, Any]], volumes: dict[Any, dict[str, Any]]) -> None:
    """What the container's anonymous volumes hold, and named ones that hold nothing while it keeps data elsewhere."""
    anonymous, empty = [], []
    for mount in mounts:
        volume = volumes.get(mount.get('name')) if mount.get('type') == 'volume' else None
        if volume is None:
            continue
        usage = as_dict(volume.get('usage'))
        fleeting = _is_fleeting(mount.get('destination') or '')
        joined = dict(common, fleeting=fleeting, volume=volume.get('name'), destination=mount.get('destination'), usage=usage,
                      service=container['service'], databases=as_dicts(volume.get('databases')), holds=volume.get('holds'),
                      ignore=common['ignore'] + volume['ignore'])
        if mount.get('anonymous'):
            joined['volume_name'] = f'{_slug(common["container"])}-{_slug(posixpath.basename((mount.get("destination") or "").rstrip("/")))}'
            anonymous.append(joined)
        elif usage.get('files') == 0:
            empty.append(joined)
    container['anonymous_volumes'] = anonymous
    elsewhere = [f'anonymous volume {short(item["volume"])} at {item["destination"]}: {item["holds"] or human_bytes(item["usage"].get("bytes"))}'
                 for item in anonymous if item['usage'].get('files')]
    elsewhere += [f'writable layer at {item.get("path")}: {label(item)} ({human_bytes(item.get("bytes"))})'
                  for item in as_dicts(container.get('databases')) if item.get('where') == 'writable' and not item.get('empty')
                  and not item.get('noise') and item.get('kind', 'database') == 'database']
    for item in empty:
        item['elsewhere'] = elsewhere
    container['empty_volumes'] = empty if elsewhere else []


def _find_unmounted(container: dict[str, Any], common: dict[str, Any], mounts: list[dict[str, Any]], declared: list[str]) -> None:
    """Paths that should be a named volume or a bind mount and are not. Of several known paths one mounted will do."""
    held = [mount.get('destination') or '' for mount in mounts
            if mount.get('type') in ('bind', 'cluster', 'npipe') or (mount.get('type') == 'volume' and not mount.get('anonymous'))]
    anonymous = [mount.get('destination') or '' for mount in mounts if mount.get('type') == 'volume' and mount.get('anonymous')]
    wanted = [(path, 'the image declares it as a volume') for path in declared]
    wanted += [(path, 'the image declares it as a volume') for path in anonymous if path not in declared]
    known = _known_paths(container)
    if known and not any(below(path, place) or below(place, path) for path in known for place in held + anonymous + declared):
        wanted.append((known[0], 'images of this name keep their data there'))
    found = []
    for path, why in wanted:
        if any(below(path, place) for place in held) or _is_fleeting(path):
            continue
        found.append(dict(common, path=path, reason=why, service=container['service'], anonymous=path in anonymous,
                          volume_name=f'{_slug(common["container"])}-{_slug(posixpath.basename(path.rstrip("/")))}'))
    container['unmounted'] = found

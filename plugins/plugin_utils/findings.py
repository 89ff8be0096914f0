# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules over the facts of one host: what is at risk, what that means, and what to do.

A rule is data (roles/audit/defaults/main/rules.yml). Its query is JMESPath over `docker_layers`, to which
:func:`enrich` has added what a query cannot join by itself. Each result is one finding; the texts of the rule are
filled from the result: ``{name}``, ``{usage.bytes|bytes}``, ``{path|sh}``.
"""
from __future__ import annotations

import datetime
import fnmatch
import json
import posixpath
import re
from typing import Any, NamedTuple

from ansible_collections.lifeboat.docker.plugins.module_utils.recreate.shell import typed

from .plaindata import plain
from .records import moment_of, one_line

try:
    import jmespath
    import jmespath.exceptions
    import jmespath.functions
    JMESPATH_ERROR = None
except ImportError as exc:              # pragma: no cover
    jmespath = None
    JMESPATH_ERROR = exc

SEVERITIES = ('critical', 'warning', 'info')
IGNORE_LABEL = 'lifeboat.audit.ignore'
RULE_FAILED = 'RULE_FAILED'
# Keys of a rule; the first five are the contract's.
KEYS = ('code', 'severity', 'query', 'message', 'next_step', 'name', 'consequence', 'remedy', 'enabled', 'why')


class AuditError(Exception):
    """A rule or an ignore list is wrong. The message is one sentence."""


class Rule(NamedTuple):
    code: str
    name: str
    severity: str
    query: Any                          # compiled
    message: str
    next_step: str
    consequence: str
    remedy: str


# -- JMESPath --------------------------------------------------------------------------------------------------------

def parse_bytes(text: Any) -> int | None:
    """'10m', '1.5 GiB', '2GB', 1024 -> bytes. One letter counts in powers of 1024, as Docker does."""
    if isinstance(text, bool):
        return None
    if isinstance(text, (int, float)):
        return int(text)
    found = re.match(r'\s*(\d+(?:\.\d+)?)\s*([kmgtpe]?)(i?b)?\s*\Z', text, re.IGNORECASE) if isinstance(text, str) else None
    if not found:
        return None
    number, unit, tail = found.groups()
    base = 1000 if unit and tail and tail.lower() == 'b' else 1024
    return int(float(number) * base ** ' kmgtpe'.index(unit.lower() or ' '))


def human_bytes(size: Any) -> str:
    """1288490188 -> '1.2 GiB'"""
    if not isinstance(size, (int, float)) or isinstance(size, bool):
        return '? B'
    number = float(size)
    for unit in ('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'):
        if abs(number) < 1000 or unit == 'PiB':
            return f'{number:.0f} {unit}' if unit == 'B' or number >= 100 else f'{number:.1f} {unit}'
        number /= 1024
    return ''


def _functions(now: datetime.datetime | None = None) -> Any:
    """The functions that queries may call; NOW is needed to call them."""
    class Functions(jmespath.functions.Functions):
        @jmespath.functions.signature({'types': ['string', 'null']})
        def _func_age_days(self, text: Any) -> float | None:
            moment = moment_of(text)
            return None if moment is None or now is None else (now - moment).total_seconds() / 86400

        @jmespath.functions.signature({'types': ['string', 'number', 'null']})
        def _func_bytes(self, text: Any) -> int | None:
            return parse_bytes(text)
    return Functions()


def _options(now: datetime.datetime) -> Any:
    return jmespath.Options(custom_functions=_functions(now))


def _wrong_call(node: Any, table: dict[str, Any]) -> str:
    """'' or which function in a parsed query is not in TABLE, or takes another number of values.

    JMESPath itself notices that only when it comes to the call, which may be on one host of many.
    """
    if isinstance(node, list):
        return next((wrong for wrong in (_wrong_call(one, table) for one in node) if wrong), '')
    if not isinstance(node, dict):
        return ''
    children = node.get('children') or []
    if node.get('type') == 'function_expression':
        known = table.get(node['value'])
        if known is None:
            return f'calls {node["value"]}(), which there is not; there are: {", ".join(sorted(table))}'
        signature = known['signature']
        more = bool(signature) and bool(signature[-1].get('variadic'))
        if len(children) < len(signature) or (len(children) > len(signature) and not more):
            return f'gives {node["value"]}() {len(children)} values, and it takes {len(signature)}{" or more" if more else ""}'
    return _wrong_call(children, table)


def compile_rules(rules: Any) -> list[Rule]:
    """Check and compile. A later rule of the same name (default: its code) changes the earlier one; `enabled: false`
    removes it. AuditError names the rule that is wrong."""
    if jmespath is None:
        raise AuditError('the rules of the audit need the Python package jmespath on the controller: pip install jmespath '
                         f'(in AWX, install it in the execution environment): {JMESPATH_ERROR}')
    if not isinstance(rules, list):
        raise AuditError('rules must be a list of dictionaries')
    merged: dict[str, dict[str, Any]] = {}
    for number, rule in enumerate(rules, 1):
        if not isinstance(rule, dict):
            raise AuditError(f'rule number {number} is not a dictionary')
        name = str(rule.get('name') or rule.get('code') or '')
        if not name:
            raise AuditError(f'rule number {number} has neither code nor name')
        unknown = sorted(set(rule) - set(KEYS))
        if unknown:
            raise AuditError(f'rule {name} has unknown keys: {", ".join(unknown)}; known are: {", ".join(KEYS)}')
        merged.setdefault(name, {}).update(rule)
    table = _functions().FUNCTION_TABLE
    return [_compile(name, rule, table) for name, rule in merged.items() if rule.get('enabled', True)]


def _compile(name: str, rule: dict[str, Any], table: dict[str, Any]) -> Rule:
    """TABLE: the functions that queries may call."""
    missing = [key for key in ('code', 'severity', 'query', 'message') if not rule.get(key)]
    if missing:
        raise AuditError(f'rule {name} lacks {", ".join(missing)}')
    if rule['severity'] not in SEVERITIES:
        raise AuditError(f'rule {name} has severity "{rule["severity"]}"; it must be one of {", ".join(SEVERITIES)}')
    if not re.match(r'[A-Z][A-Z0-9_]*\Z', rule['code']):
        raise AuditError(f'rule {name} has code "{rule["code"]}"; codes are capital letters, digits and underscores')
    if rule['code'] == RULE_FAILED:
        raise AuditError(f'rule {name} has code {RULE_FAILED}, which tells that a rule failed; choose another')
    try:
        query = jmespath.compile(rule['query'])
    except jmespath.exceptions.JMESPathError as exc:
        raise AuditError(f'the query of rule {name} is no JMESPath: {" ".join(str(exc).split())}') from exc
    wrong = _wrong_call(query.parsed, table)
    if wrong:
        raise AuditError(f'the query of rule {name} {wrong}')
    texts = {key: str(rule.get(key) or '').strip() for key in ('message', 'next_step', 'consequence', 'remedy')}
    for key, text in texts.items():
        for filters in re.findall(r'\{[A-Za-z_][A-Za-z0-9_.]*\|([^{}]*)\}', text):
            if filters not in FILTERS:
                raise AuditError(f'{key} of rule {name} uses the filter "{filters}"; known are: {", ".join(FILTERS)}')
    return Rule(rule['code'], name, rule['severity'], query, **texts)


# -- texts -------------------------------------------------------------------------------------------------------------

def _yaml(value: Any) -> str:
    text = str(value)
    if re.match(r'[A-Za-z_./][A-Za-z0-9_./-]*\Z', text) and text.lower() not in ('true', 'false', 'yes', 'no', 'on', 'off', 'null'):
        return text
    return json.dumps(text)


FILTERS = {
    'bytes': human_bytes,
    'sh': lambda value: typed(one_line(value) if isinstance(value, (dict, list)) else str(value)),
    'yaml': lambda value: _yaml(one_line(value)),
    'days': lambda value: f'{value:.0f} days' if isinstance(value, (int, float)) else '? days',
    'date': lambda value: one_line(str(value)[:10]),
    # pylint: disable-next=used-before-assignment
    'places': lambda value: ', '.join(f'{one_line(item.get("path"))} ({human_bytes(item.get("bytes"))})' for item in _dicts(value)[:3]),
    'problems': lambda value: ' '.join(one_line(item.get('message') or '') for item in _dicts(value)[:2]) or 'nothing more is known.',
    # anonymous volumes have names of 64 letters
    'short': lambda value: value[:12] if isinstance(value, str) and re.match(r'[0-9a-f]{64}\Z', value) else one_line(value),
    'list': lambda value: ', '.join(one_line(item) for item in value) if isinstance(value, list) else one_line(value),
}


def fill(text: str, result: dict[str, Any]) -> str:
    """TEXT with ``{field}`` and ``{field.of.field|filter}`` taken from RESULT; a missing field becomes '?'."""
    def value(found: re.Match[str]) -> str:
        item: Any = result
        for part in found.group(1).split('.'):
            item = item.get(part) if isinstance(item, dict) else None
        if item is None:
            return '?'
        return FILTERS[found.group(2)](item) if found.group(2) else one_line(item)
    return re.sub(r'\{([A-Za-z_][A-Za-z0-9_.]*)(?:\|([a-z]+))?\}', value, text)


# -- facts -------------------------------------------------------------------------------------------------------------

# Where well-known images keep what they must not lose, by the last part of the image's name. Used where the image
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


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def enrich(facts: Any) -> dict[str, Any]:
    """A plain copy of `docker_layers` with what rules need beside what the module says.

    Everywhere: `object`, `object_type` (container, volume, layer, host) and `ignore` (codes of the label). Containers:
    `service`, `project`, `unmounted[]`, `anonymous_volumes[]`, `empty_volumes[]`; their databases: `mount`, `volume_name`,
    `volume_path`, `copy_from`. Volumes: `orphan`; orphan layers and volumes are joined in `orphans.layers[]` and `orphans.volume_items[]`.
    """
    facts = _dict(plain(facts))
    volumes = {volume.get('name'): volume for volume in _dicts(facts.get('volumes'))}
    for volume in volumes.values():
        _enrich_volume(volume)
    roots = {root.get('path'): root for root in _dicts(facts.get('roots'))}
    for container in _dicts(facts.get('containers')):
        _enrich_container(container, volumes, _dict(roots.get(container.get('root'))).get('volume_path'))
    orphans = _dict(facts.get('orphans'))
    for layer in _dicts(orphans.get('writable_layers')):
        layer.update(object=layer.get('path'), object_type='layer', ignore=[])
        for database in _dicts(layer.get('databases')):
            database.update(object=layer.get('path'), object_type='layer', ignore=[], layer=layer.get('path'))
    for name in orphans.get('volumes') or ():
        if name in volumes:
            volumes[name]['orphan'] = True
    facts['orphans'] = orphans
    for item in _dicts(facts.get('problems')):
        item.setdefault('object_type', 'host')
        item['ignore'] = []
    return facts


def _enrich_volume(volume: dict[str, Any]) -> None:
    common = {'object': volume.get('name'), 'object_type': 'volume', 'ignore': _ignored(volume.get('labels'))}
    volume.update(common, orphan=not volume.get('used_by'))
    labels = _dict(volume.get('labels'))
    volume['project'] = labels.get('com.docker.compose.project')
    real = [item for item in _dicts(volume.get('databases')) if not item.get('empty') and not item.get('noise')]
    volume['holds'] = describe(real)
    for item in _dicts(volume.get('databases')):
        item.update(common, volume=volume.get('name'))
    for item in _dicts(volume.get('problems')):
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
    labels = _dict(container.get('labels'))
    name = container.get('name') or str(container.get('id') or '')[:12]
    common = {'object': name, 'object_type': 'container', 'ignore': _ignored(labels), 'container': name}
    container.update(common, name=name)     # docker takes the ID where the name is lost
    container['service'] = labels.get('com.docker.compose.service') or name
    container['project'] = labels.get('com.docker.compose.project')
    mounts = _dicts(container.get('mounts'))
    declared = [path for path in container.get('image_volumes') or () if isinstance(path, str)]
    for item in _dicts(container.get('databases')):
        item.update(common, service=container['service'], running=_dict(container.get('state')).get('running'), label=label(item))
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
    for item in _dicts(container.get('problems')):
        item.update(common)
    _join_mounts(container, common, mounts, volumes)
    _find_unmounted(container, common, mounts, declared)


def _known_paths(container: dict[str, Any]) -> tuple[str, ...]:
    reference = _dict(container.get('image')).get('reference')
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
        usage = _dict(volume.get('usage'))
        fleeting = _is_fleeting(mount.get('destination') or '')
        joined = dict(common, fleeting=fleeting, volume=volume.get('name'), destination=mount.get('destination'), usage=usage,
                      service=container['service'], databases=_dicts(volume.get('databases')), holds=volume.get('holds'),
                      ignore=common['ignore'] + volume['ignore'])
        if mount.get('anonymous'):
            joined['volume_name'] = f'{_slug(common["container"])}-{_slug(posixpath.basename((mount.get("destination") or "").rstrip("/")))}'
            anonymous.append(joined)
        elif usage.get('files') == 0:
            empty.append(joined)
    container['anonymous_volumes'] = anonymous
    elsewhere = [f'anonymous volume {FILTERS["short"](item["volume"])} at {item["destination"]}: {item["holds"] or human_bytes(item["usage"].get("bytes"))}'
                 for item in anonymous if item['usage'].get('files')]
    elsewhere += [f'writable layer at {item.get("path")}: {label(item)} ({human_bytes(item.get("bytes"))})'
                  for item in _dicts(container.get('databases')) if item.get('where') == 'writable' and not item.get('empty')
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


# -- findings ----------------------------------------------------------------------------------------------------------

class Ignore(NamedTuple):
    """One entry of the inventory's list."""
    code: str
    host: str
    object: str
    reason: str
    until: datetime.date


def compile_ignores(entries: Any) -> list[Ignore]:
    """`code`, `reason` and `until` (a date) are required; `host` and `object` are globs, default `*`."""
    found = []
    for number, entry in enumerate(entries or (), 1):
        if not isinstance(entry, dict):
            raise AuditError(f'entry {number} of the ignore list is not a dictionary')
        code = str(entry.get('code') or '')
        missing = [key for key in ('code', 'reason', 'until') if not entry.get(key)]
        if missing:
            raise AuditError(f'entry {number} of the ignore list ({code or "no code"}) lacks {", ".join(missing)}: '
                             'whatever is ignored needs a reason and a last day')
        moment = moment_of(str(entry['until']))
        if moment is None:
            raise AuditError(f'entry {number} of the ignore list ({code}): until "{entry["until"]}" is not a date like 2027-01-31')
        found.append(Ignore(code, str(entry.get('host') or '*'), str(entry.get('object') or '*'), str(entry['reason']), moment.date()))
    return found


def findings(facts: Any, rules: Any, ignore: Any = None, host: str = '', now: datetime.datetime | None = None) -> list[dict[str, Any]]:
    """Findings of one host, worst first; suppressed ones carry `suppressed` and come last. A rule that fails on the facts is one, too.

    Each has `code`, `severity`, `object`, `object_type`, `message`, `consequence`, `remedy`, `next_step`, `bytes`, `engine`, `volume`,
    `rule`.
    AuditError for a rule or list that is wrong.
    """
    now = now or datetime.datetime.now(datetime.timezone.utc)
    compiled = compile_rules(plain(rules))
    ignores = compile_ignores(plain(ignore))
    return evaluate(enrich(facts), compiled, ignores, host, now)


def evaluate(enriched: dict[str, Any], rules: list[Rule], ignores: list[Ignore], host: str, now: datetime.datetime) -> list[dict[str, Any]]:
    """As :func:`findings`. A rule that fails on these facts is a finding RULE_FAILED itself; the others go on."""
    options = _options(now)
    found = []
    seen = set()
    for rule in rules:
        try:
            pairs = _apply(rule, enriched, options, host)
        except Exception as exc:        # whatever a user's expression meets on a disk: no other rule may suffer  # pylint: disable=broad-except
            pairs = [(_failed(rule, exc, host), None)]
        for finding, result in pairs:
            key = (finding['code'], finding['object'], finding['message'])
            if key in seen:
                continue
            seen.add(key)
            suppressed = _suppressed(finding, result, ignores, host, now)
            if suppressed:
                finding['suppressed'] = suppressed
            found.append(finding)
    return sorted(found, key=lambda one: ('suppressed' in one, SEVERITIES.index(one['severity']), -(one['bytes'] or 0), one['code'],
                                          str(one['object'])))


def _apply(rule: Rule, enriched: dict[str, Any], options: Any, host: str) -> list[tuple[dict[str, Any], Any]]:
    """(finding, result it was made of) of one rule."""
    results = rule.query.search(enriched, options=options)
    pairs = []
    for result in results if isinstance(results, list) else [results]:
        if result is not None and result is not False:
            pairs.append((_finding(rule, result if isinstance(result, dict) else {'value': result, 'object': str(result)}, host), result))
    return pairs


def _failed(rule: Rule, exc: Exception, host: str) -> dict[str, Any]:
    """The finding RULE_FAILED. Critical, since what the rule looks for may be there unseen.

    Of a type error only the types are told: JMESPath's own message repeats the value, which may be a label's.
    """
    if isinstance(exc, jmespath.exceptions.JMESPathTypeError):
        expected = exc.expected_types if isinstance(exc.expected_types, (list, tuple)) else [exc.expected_types]
        why = f'{exc.function_name}() got {exc.actual_type} where it takes {" or ".join(map(str, expected))}'
    else:
        why = {'RecursionError': 'it is nested too deeply'}.get(type(exc).__name__, type(exc).__name__)
    where = host or 'this host'
    return {
        'code': RULE_FAILED, 'rule': rule.name, 'severity': 'critical', 'object': where, 'object_type': 'host', 'bytes': None, 'engine': None,
        'volume': None, 'message': one_line(f'Rule {rule.name} failed on the facts of {where}: {why}.'),
        'consequence': f'What this rule looks for ({rule.code}) is not in the report of {one_line(where)}.', 'remedy': '',
        'next_step': 'Change its query so that it bears such values: a filter before the function, or not_null(value, `0`). The other rules were applied.',
    }


def _word(value: Any) -> str:
    return value if isinstance(value, str) else one_line(value)


def _finding(rule: Rule, result: dict[str, Any], host: str) -> dict[str, Any]:
    size = result.get('bytes')
    if size is None:
        size = _dict(result.get('usage')).get('bytes')
    if size is None:
        size = _dict(result.get('log')).get('bytes') if rule.code.startswith('LOG_') else None
    whole = dict(result, host=host)
    return {
        'code': rule.code, 'rule': rule.name, 'severity': rule.severity, 'object': _word(result.get('object') or host or ''),
        'object_type': _word(result.get('object_type') or 'host'), 'bytes': size if isinstance(size, (int, float)) else None,
        'engine': result.get('engine'), 'volume': result.get('volume'), 'message': fill(rule.message, whole), 'consequence': fill(rule.consequence, whole),
        'remedy': fill(rule.remedy, whole), 'next_step': fill(rule.next_step, whole),
    }


def _suppressed(finding: dict[str, Any], result: Any, ignores: list[Ignore], host: str, now: datetime.datetime) -> dict[str, Any] | None:
    codes = result.get('ignore') if isinstance(result, dict) else None
    if codes and (finding['code'] in codes or 'ALL' in codes):
        return {'by': 'label', 'reason': f'label {IGNORE_LABEL}', 'until': None}
    for entry in ignores:
        if entry.until >= now.date() and entry.code in (finding['code'], '*') and fnmatch.fnmatchcase(host, entry.host) \
                and fnmatch.fnmatchcase(str(finding['object']), entry.object):
            return {'by': 'inventory', 'reason': entry.reason, 'until': entry.until.isoformat()}
    return None

"""Facts of a small host, and the built-in rules as the role has them."""
from __future__ import annotations

import datetime
import os

import yaml

ROLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..', '..', 'roles', 'audit')
NOW = datetime.datetime(2026, 6, 1, 12, 0, 0, tzinfo=datetime.timezone.utc)
SECRET = 'hunter2-s3cr3t'


def builtin_rules():
    """audit_builtin_rules with the role's defaults filled in, as Ansible would."""
    with open(os.path.join(ROLE, 'defaults', 'main', 'rules.yml'), encoding='utf-8') as stream:
        defaults = yaml.safe_load(stream)

    def filled(text):
        for name in ('audit_log_warn_at', 'audit_large_layer', 'audit_idle_days'):
            text = text.replace('{{ %s }}' % name, str(defaults[name]))
        return text
    rules = [{key: filled(value) if isinstance(value, str) else value for key, value in rule.items()}
             for rule in defaults['audit_builtin_rules']]
    assert not any('{{' in str(rule) for rule in rules)
    return rules


def usage(data=0, noise=0, files=3, newest='2026-05-30T00:00:00Z', complete=True):
    return {'bytes': data + noise, 'allocated': data + noise, 'files': files if data + noise else 0, 'newest_mtime': newest, 'top': [
        {'path': '/srv', 'bytes': data}], 'complete': complete, 'data_bytes': data, 'noise_bytes': noise, 'data_files': files if data else 0}


def database(engine='postgresql', title='PostgreSQL', version='15', path='/var/lib/postgresql/data', size=1288490189, where='writable', **more):
    return dict({'engine': engine, 'title': title, 'version': version, 'path': path, 'bytes': size, 'where': where, 'kind': 'database',
                 'empty': False, 'noise': None, 'clean_shutdown': True, 'state': None, 'evidence': 'PG_VERSION', 'single_file': False}, **more)


def container(name='web', data=0, **more):
    ident = ('%x' % abs(hash(name))).ljust(64, '0')[:64]
    return dict({'id': ident, 'name': name, 'created': '2026-01-01T00:00:00Z', 'image': {'id': 'sha256:' + '1' * 64, 'reference': 'shop/web:1'},
                 'labels': {}, 'state': {'status': 'running', 'running': True, 'exit_code': 0, 'dead': False}, 'root': '/mnt/dead/var/lib/docker',
                 'store': 'graphdriver', 'driver': 'overlay2', 'status': 'complete', 'auto_remove': False, 'env': {'PASSWORD': SECRET},
                 'mounts': [], 'log': {'driver': 'json-file', 'files': [], 'bytes': 10, 'max_size': '10m'}, 'usage': usage(data),
                 'databases': [], 'problems': []}, **more)


def volume(name='shop_db', data=0, used_by=('x',), anonymous=False, **more):
    return dict({'name': name, 'driver': 'local', 'options': {}, 'labels': {}, 'anonymous': anonymous, 'used_by': list(used_by),
                 'status': 'complete', 'path': '/x', 'usage': usage(data), 'databases': [], 'problems': []}, **more)


def mount(name, destination, anonymous=False, **more):
    return dict({'type': 'volume', 'name': name, 'source': None, 'path': '/x', 'destination': destination, 'rw': True, 'driver': 'local',
                 'anonymous': anonymous, 'status': 'complete'}, **more)


def facts(containers=(), volumes=(), layers=(), problems=(), daemon='running'):
    return {'roots': [{'path': '/mnt/dead/var/lib/docker', 'recorded_path': '/var/lib/docker',
                       'volume_path': '/var/lib/docker/volumes/{name}/_data', 'daemon': {'state': daemon, 'pid': None}}],
            'containers': list(containers), 'volumes': list(volumes), 'problems': list(problems), 'summary': {},
            'orphans': {'writable_layers': list(layers), 'volumes': [one['name'] for one in volumes if not one['used_by']]}}


def result(content):
    return {'changed': False, 'ansible_facts': {'docker_layers': content}}

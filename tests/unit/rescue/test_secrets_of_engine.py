"""Secrets of Podman in bundles: values when somebody asks for them, each in a file of its own, and nowhere else."""
import base64
import hashlib
import json
import os
import sqlite3
import stat
import subprocess

import deadpodman
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='a graph root of root can only be built by root')

STORE = 'var/lib/containers/storage'
VALUES = {'plain': b'plain-s3cret-value', 'binary': b'\0\xff-s3cret-value\n', '.. evil $(id)\n': b'evil-s3cret-value', 'secrets.json': b'index-s3cret-value',
          'lone': b'lone-s3cret-value'}


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """(host root, id of the container that has the secrets)."""
    path = tmp_path_factory.mktemp('secrets') / 'host'
    expected = deadpodman.build(str(path / STORE), containers=2, layers=1, files=1, log_lines=1, host_root=str(path))
    top = str(path / STORE)
    ids = {name: '%025x' % number for number, name in enumerate(VALUES)}
    records = {ids[name]: {'name': name, 'id': ids[name], 'driver': 'file'} for name in VALUES}
    os.makedirs(top + '/secrets/filedriver')
    put(top + '/secrets/secrets.json', {'secrets': records})
    put(top + '/secrets/filedriver/secretsdata.json', {ids[name]: base64.b64encode(value).decode() for name, value in VALUES.items()})
    given = [dict(records[ids[name]], Target='/run/secrets/' + name) for name in VALUES if name not in ('lone', 'binary')]
    change(top, expected.containers[0].id, {'secrets': given, 'secret_env': {'TOKEN': records[ids['binary']], 'AGAIN': records[ids['plain']]}})
    return str(path), expected.containers[0].id


@pytest.fixture
def store(built, tmp_path):
    """(a host root to be changed, folder of the store, id of the container that has the secrets)."""
    subprocess.run(['cp', '-a', built[0], str(tmp_path / 'host')], check=True)
    return str(tmp_path / 'host'), str(tmp_path / 'host' / STORE), built[1]


def put(path, value):
    with open(path, 'w', encoding='ascii') as out:
        json.dump(value, out)


def change(top, ident, changes):
    """Change a container's record in db.sql."""
    database = sqlite3.connect(top + '/db.sql')
    with database:
        raw, = database.execute('SELECT JSON FROM ContainerConfig WHERE ID = ?', (ident,)).fetchone()
        database.execute('UPDATE ContainerConfig SET JSON = ? WHERE ID = ?', (json.dumps(dict(json.loads(raw), **changes)), ident))
    database.close()


def rescue(host_root, dest, *include, **more):
    with registry.open_host(os.fsencode(host_root)) as host:
        return run.rescue(host, run.Request(os.fsencode(str(dest)), host_name='dead', include=('config',) + include, compression='none', **more))


def bundle_of(result, ident):
    return next(item for item in result['bundles'] if item['id'] == ident)


def holders(folder):
    """Files below FOLDER that hold a value, as it is or in base64."""
    found = set()
    for value in VALUES.values():
        for text in (value, base64.b64encode(value)):
            done = subprocess.run(['grep', '-rlaF', '-f', '-', str(folder)], input=text.strip(b'\n'), stdout=subprocess.PIPE, check=False)
            found.update(os.path.relpath(name, str(folder)) for name in done.stdout.decode().splitlines())
    return found


def test_values_when_asked_for_and_nowhere_else(store, tmp_path):
    host_root, dummy, ident = store
    result = rescue(host_root, tmp_path / 'out', 'secrets')
    bundle = bundle_of(result, ident)
    folder = os.path.join(bundle['path'], 'secrets')
    with open(os.path.join(folder, 'secrets.json'), encoding='ascii') as found:
        index = {(item['name'], item['target']): item for item in json.load(found)}
    assert {(key[0], key[1]) for key in index} == {('plain', '/run/secrets/plain'), ('plain', 'AGAIN'), ('binary', 'TOKEN'), (
        '.. evil $(id)\n', '/run/secrets/.. evil $(id)\n'), ('secrets.json', '/run/secrets/secrets.json')}
    for (name, dummy), item in index.items():
        path = os.path.join(folder, item['file'])
        assert os.path.dirname(os.path.realpath(path)) == os.path.realpath(folder) and stat.S_IMODE(os.lstat(path).st_mode) == 0o600
        with open(path, 'rb') as found:
            assert found.read() == VALUES[name]
    assert len(os.listdir(folder)) == 5 and bundle['status'] == 'complete'
    where = os.path.relpath(folder, str(tmp_path / 'out'))
    assert {os.path.dirname(name) for name in holders(tmp_path / 'out')} == {where}
    component, = [item for item in bundle['components'] if item['kind'] == 'secrets']
    assert component['entries'] == 4 and component['file'] == 'secrets/secrets.json'
    said = json.dumps(result)
    assert 's3cret-value' not in said
    assert not any(hashlib.sha256(value).hexdigest() in said for value in VALUES.values()), 'a checksum tells a value that can be guessed'
    assert [item['status'] for item in info.inspect(os.fsencode(bundle['path']), True)] == ['verified']
    with open(os.path.join(bundle['path'], 'README.txt'), encoding='utf-8') as found:
        assert 'podman secret create -- plain secrets/plain' in found.read()


def test_not_by_default_and_then_they_are_named(store, tmp_path):
    host_root, dummy, ident = store
    result = rescue(host_root, tmp_path / 'out', 'writable', 'image', 'volumes', 'logs')
    assert holders(tmp_path / 'out') == set()
    codes = [item for item in bundle_of(result, ident)['problems'] if item['code'] == 'SECRETS_LEFT_OUT']
    assert len(codes) == 1 and 'plain' in codes[0]['message'] and codes[0]['severity'] == 'info'
    with registry.open_host(os.fsencode(host_root)) as host:
        facts = gather.gather(host, gather.Options(gather_subset=['all'], redact_env=False))
    assert 's3cret-value' not in json.dumps(facts)


def test_again_nothing_changes_but_with_a_new_value(store, tmp_path):
    host_root, top, ident = store
    assert rescue(host_root, tmp_path / 'out', 'secrets')['changed']
    assert not rescue(host_root, tmp_path / 'out', 'secrets')['changed']
    path = top + '/secrets/filedriver/secretsdata.json'
    with open(path, encoding='ascii') as found:
        values = json.load(found)
    put(path, dict(values, **{'%025x' % 0: base64.b64encode(b'newer-s3cret').decode()}))
    os.utime(path, ns=(10 ** 18, 10 ** 18))
    result = rescue(host_root, tmp_path / 'out', 'secrets')
    assert result['changed']
    with open(os.path.join(bundle_of(result, ident)['path'], 'secrets', 'plain'), 'rb') as found:
        assert found.read() == b'newer-s3cret'


def test_check_mode_writes_nothing(store, tmp_path):
    host_root, dummy, ident = store
    result = rescue(host_root, tmp_path / 'out', 'secrets', check_mode=True)
    assert not (tmp_path / 'out').exists() and [item['kind'] for item in bundle_of(result, ident)['components']].count('secrets') == 1


def test_those_of_no_container_are_named(store, tmp_path):
    result = rescue(store[0], tmp_path / 'out', 'secrets')
    item, = [item for item in result['problems'] if item['code'] == 'SECRETS_LEFT_OUT']
    assert 'lone' in item['message'] and 'plain' not in item['message']


def test_the_copy_of_the_container_is_what_it_had(store, tmp_path):
    """The store may have forgotten a secret: the container still has it."""
    host_root, top, ident = store
    own = '%s/overlay-containers/%s/userdata/secrets' % (top, ident)
    os.makedirs(own)
    with open(own + '/plain', 'wb') as out:
        out.write(b'as it was')
    os.unlink(top + '/secrets/filedriver/secretsdata.json')
    bundle = bundle_of(rescue(host_root, tmp_path / 'out', 'secrets'), ident)
    with open(os.path.join(bundle['path'], 'secrets', 'plain'), 'rb') as found:
        assert found.read() == b'as it was'
    assert bundle['status'] == 'partial' and {item['code'] for item in bundle['problems']} >= {'SECRET_LOST'}


@pytest.mark.parametrize('value', [7, '', 'no base64!'], ids=repr)
def test_values_of_any_shape(store, tmp_path, value):
    host_root, top, ident = store
    put(top + '/secrets/filedriver/secretsdata.json', {'%025x' % number: value for number in range(9)})
    bundle = bundle_of(rescue(host_root, tmp_path / 'out', 'secrets'), ident)
    lost = [item for item in bundle['problems'] if item['code'] == 'SECRET_LOST']
    assert len(lost) == (0 if value == '' else 4) and bundle['status'] == ('complete' if value == '' else 'partial')


@pytest.mark.parametrize('listed', [7, [7, None, {}, {'name': 7}, {'name': ''}, {'name': 'a/b'}, {'name': 'x\0y'}, {'name': 'other', 'driver': 'pass'}]],
                         ids=lambda value: type(value).__name__)
def test_records_of_any_shape(store, tmp_path, listed):
    host_root, top, ident = store
    change(top, ident, {'secrets': listed, 'secret_env': listed})
    put(top + '/secrets/secrets.json', {'secrets': listed})
    bundle = bundle_of(rescue(host_root, tmp_path / 'out', 'secrets'), ident)
    named = [item['message'] for item in bundle['problems'] if item['code'] == 'SECRET_LOST']
    assert all('driver pass' in item for item in named) and len(named) == isinstance(listed, list)


def test_a_link_in_place_of_a_value_is_not_followed(store, tmp_path):
    host_root, top, ident = store
    path = top + '/secrets/filedriver/secretsdata.json'
    os.rename(path, path + '.away')
    os.symlink(path + '.away', path)
    bundle = bundle_of(rescue(host_root, tmp_path / 'out', 'secrets'), ident)
    assert holders(tmp_path / 'out') == set() and len([item for item in bundle['problems'] if item['code'] == 'SECRET_LOST']) == 4


def test_the_manifest_has_no_value_of_the_command_line(store, tmp_path):
    """The whole command line is in config/, from which a container is made again."""
    host_root, top, ident = store
    change(top, ident, {'CreateCommand': ['podman', 'run', '--env', 'TOKEN=' + VALUES['plain'].decode(), '-ePLAIN=' + VALUES['lone'].decode(), 'image']})
    folder = bundle_of(rescue(host_root, tmp_path / 'out'), ident)['path']
    assert holders(folder) >= {'config/podman.sh', 'config/definition.json'} and not {'manifest.json', 'README.txt'} & holders(folder)

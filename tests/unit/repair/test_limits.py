"""When nothing may be done, what settings hide, what a containerd store allows, and records that somebody made up."""
import errno
import fcntl
import json
import os
import random
import stat

import boltwriter
import pytest
from repairing import Dead, codes, contents, empty, load, nul, put, snapshot

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import safeio
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import boltdb, boltwrite
from ansible_collections.lifeboat.docker.plugins.module_utils.repair import refuse, run

ROUNDS = 15 * int(os.environ.get('LIFEBOAT_SOAK') or 0) or 4


def daemon_json(dead, **settings):
    path = os.path.join(dead.top, 'etc/docker/daemon.json')
    os.makedirs(os.path.dirname(path), exist_ok=True)
    put(path, json.dumps(settings).encode())


def whiteouts(dead):
    for folder, dummy, files in os.walk(dead.overlay):
        for name in files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            if stat.S_ISCHR(st.st_mode) or 'user.overlay.whiteout' in os.listxattr(path, follow_symlinks=False):
                yield path


def test_a_copy_without_devices_is_refused(tmp_path):
    dead = Dead(tmp_path, containers=2)
    found = list(whiteouts(dead))
    assert found
    for path in found:
        os.unlink(path)
    before = snapshot(dead.path)
    assert [one['code'] for one in dead.run(run.PLANNED)['problems']] == ['ROOT_COPY_INCOMPLETE']
    with pytest.raises(LifeboatError, match='lost all device nodes'):
        dead.run()
    assert snapshot(dead.path) == before


def test_a_copy_without_links_is_refused(tmp_path):
    dead = Dead(tmp_path, containers=2)
    count = 0
    for layer in dead.expected.images[0].layers:
        for folder, dummy, files in os.walk(layer.path.decode()):
            for path in (os.path.join(folder, name) for name in files):
                if os.path.islink(path):
                    os.unlink(path)
                    put(path, b'content of what it led to')
                    count += 1
    assert count
    with pytest.raises(LifeboatError, match='lost all links'):
        dead.run()


@pytest.mark.skipif(os.geteuid() != 0, reason='only root sees the attribute')
def test_a_copy_without_attributes_is_refused(tmp_path):
    dead = Dead(tmp_path, containers=2)
    count = 0
    for folder, _names, _files in os.walk(dead.overlay):
        for name in ('trusted.overlay.opaque', 'user.overlay.opaque'):
            if name in os.listxattr(folder):
                os.removexattr(folder, name)
                count += 1
    assert count
    with pytest.raises(LifeboatError, match='lost all xattrs'):
        dead.run()


def test_one_lost_whiteout_is_damage_and_not_a_copy(tmp_path):
    dead = Dead(tmp_path, containers=2)
    found = sorted(whiteouts(dead))
    layers = [path for path in found if any(path.startswith(layer.path.decode()) for layer in dead.expected.images[0].layers)]
    assert len(layers) > 1
    os.unlink(layers[0])
    assert dead.run()['changed']


@pytest.mark.parametrize('settings, setting', [
    ({'storage-driver': 'vfs'}, '"storage-driver": "overlay2"'),
    ({'features': {'containerd-snapshotter': True}}, '"storage-driver": "overlay2", and "containerd-snapshotter": false in "features"'),
    ({'storage-driver': 'overlay2', 'features': {'containerd-snapshotter': True}},
     '"storage-driver": "overlay2", and "containerd-snapshotter": false in "features"'),
])
def test_what_a_setting_hides_is_said_first(tmp_path, settings, setting):
    dead = Dead(tmp_path, containers=3)
    daemon_json(dead, **settings)
    hidden = dead.run(run.PLANNED)['hidden']
    assert [(one['containers'], one['setting']) for one in hidden] == [(3, setting)]
    assert 'prune' in hidden[0]['warning']


def test_a_containerd_store_that_is_switched_off_is_said(tmp_path):
    dead = Dead(tmp_path, containers=3, store='containerd')
    daemon_json(dead, features={'containerd-snapshotter': False})
    assert [(one['containers'], one['setting']) for one in dead.run(run.PLANNED)['hidden']] == [(3, '"features": {"containerd-snapshotter": true}')]
    daemon_json(dead, features={'containerd-snapshotter': True})
    assert dead.run(run.PLANNED)['hidden'] == []


@pytest.mark.parametrize('there', [True, False])
def test_another_data_root_in_daemon_json_is_said(tmp_path, there):
    dead = Dead(tmp_path, containers=3)
    daemon_json(dead, **{'data-root': '/srv/docker'})
    if there:
        os.makedirs(os.path.join(dead.top, 'srv/docker'))
    hidden = dead.run(run.PLANNED)['hidden']
    assert [(one['containers'], one['setting'], one['why']) for one in hidden] == [(3, '"data-root": "/var/lib/docker"', 'data-root is /srv/docker')]
    daemon_json(dead, **{'data-root': '/var/lib/docker'})
    assert dead.run(run.PLANNED)['hidden'] == []


def test_a_switched_user_namespace_is_said(tmp_path):
    dead = Dead(tmp_path, containers=3)
    daemon_json(dead, **{'userns-remap': 'default'})
    assert [(one['containers'], one['why']) for one in dead.run(run.PLANNED)['hidden']] == [(3, 'userns-remap is on')]
    daemon_json(dead, debug=True)
    assert dead.run(run.PLANNED)['hidden'] == []


def test_the_right_setting_hides_nothing(tmp_path):
    dead = Dead(tmp_path, containers=3)
    daemon_json(dead, **{'storage-driver': 'overlay2'})
    assert dead.run(run.PLANNED)['hidden'] == []


def test_a_broken_daemon_json_is_said_with_its_place_and_left(tmp_path):
    dead = Dead(tmp_path, containers=1)
    daemon_json(dead)
    put(os.path.join(dead.top, 'etc/docker/daemon.json'), b'{\n  "debug": true,\n}\n')
    result = dead.run()
    assert any(one['code'] == 'DAEMON_JSON_DAMAGED' and 'line ' in one['message'] and ' column ' in one['message'] for one in result['problems'])
    with open(os.path.join(dead.top, 'etc/docker/daemon.json'), 'rb') as stream:
        assert stream.read() == b'{\n  "debug": true,\n}\n'


# -- the containerd store ---------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    return Dead(tmp_path, containers=5, store='containerd')


def database(dead, *names):
    return os.path.join(dead.path, 'containerd/daemon', *names)


META = 'io.containerd.metadata.v1.bolt/meta.db'
SNAPSHOTS = 'io.containerd.snapshotter.v1.overlayfs/metadata.db'


def test_a_whole_store_gets_the_guard_only(store):
    result = store.run()
    assert set(codes(result['plan'])) <= {'GUARD_AUTOREMOVE', 'GUARD_DEAD', 'GUARD_RESTART'} and 'GUARD_RESTART' in codes(result['plan'])
    assert not os.path.exists(os.path.join(store.path, 'overlay2'))     # a folder of that name would switch the engine over


def test_a_container_of_a_store_that_is_marked_as_dead_is_held_if_its_layer_is_there(store):
    path = store.folder('web', 'config.v2.json')
    put(path, json.dumps(dict(load(path), State=dict(load(path)['State'], Dead=True))).encode())
    store.run(run.GUARDED)
    assert load(path)['State']['Dead'] is False


@pytest.mark.parametrize('name', [META, SNAPSHOTS])
def test_a_bad_list_of_free_pages_in_a_store_loses_nothing(store, name):
    path = database(store, name)
    with open(path, 'rb') as stream:
        raw = bytearray(stream.read())
    tree = boltwrite.tree_of(boltdb.open_db(bytes(raw)).root)
    at = boltdb.open_db(bytes(raw)).freelist * 4096
    raw[at:at + 16] = b'\xff' * 16
    put(path, raw)
    assert [step['path'] for step in store.run()['plan'] if step['code'] == 'DB_FREE_LIST'] == ['containerd/daemon/' + name]
    with open(path, 'rb') as stream:
        assert boltwrite.tree_of(boltdb.open_db(stream.read()).root) == tree


@pytest.mark.parametrize('name', [META, SNAPSHOTS])
@pytest.mark.parametrize('damage', [nul, lambda path: put(path, b'garbage' * 2000)])
def test_a_destroyed_database_of_a_store_is_never_touched(store, name, damage):
    path = database(store, name)
    damage(path)
    before = snapshot(database(store))
    result = store.run(steps=['all'])
    assert 'CONTAINERD_DB' in [one['code'] for one in result['unresolved']]
    assert snapshot(database(store)) == before


@pytest.mark.parametrize('name', [META, SNAPSHOTS])
@pytest.mark.parametrize('lose', [os.unlink, empty])
def test_a_missing_database_of_a_store_stops_everything(store, name, lose):
    lose(database(store, name))
    before = contents(store.path)
    with pytest.raises(LifeboatError, match='nothing was done'):
        store.run()
    assert contents(store.path) == before


def test_an_older_tree_of_a_store_is_a_choice(store):
    path = database(store, META)
    with open(path, 'rb') as stream:
        raw = bytearray(stream.read())
    raw[5 * 4096:6 * 4096] = b'\xff' * 4096 if raw[5 * 4096:5 * 4096 + 2] else b''
    put(path, raw)
    result = store.run(run.PLANNED)
    assert not [step for step in result['plan'] if step['code'].startswith('DB_') and step['selected']]


# -- records that somebody made up --------------------------------------------------------------------------------------


STRANGE = (b'', b'\0' * 50, b'[]', b'null', b'{}', b'{"ID": 1}', b'{"Repositories": []}', b'\xff\xfe', b'{"a":' * 300, b'../../../etc', b'l/../../x:l/Y',
           b'{"State": [], "Config": 5, "MountPoints": {"/x": 7}, "NetworkSettings": "no", "Name": {}, "Driver": ["a"], "Image": {}}',
           b'{"RestartPolicy": "always", "AutoRemove": "yes", "Binds": [5, ":", "a:b:c:d"], "Mounts": [[]], "LogConfig": []}')


@pytest.mark.parametrize('seed', range(ROUNDS))
def test_made_up_records_end_in_a_plan_or_a_sentence(tmp_path, seed):
    chance = random.Random(seed)
    dead = Dead(tmp_path, containers=4, store='containerd' if seed % 5 == 4 else 'graphdriver')
    records = []
    for top in ('containers', 'image', 'volumes', 'overlay2', 'containerd'):
        for folder, names, files in os.walk(os.path.join(dead.path, top)):
            names[:] = [name for name in names if name not in ('diff', '_data', 'fs')]
            records.extend(os.path.join(folder, name) for name in files if not os.path.islink(os.path.join(folder, name)))
    for path in chance.sample(sorted(records), 12):
        os.chmod(path, os.stat(path).st_mode | 0o200)   # a blob is read-only, to its owner too
        if chance.random() < 0.5 and os.path.getsize(path):
            with open(path, 'r+b') as stream:
                stream.seek(chance.randrange(os.path.getsize(path)))
                stream.write(bytes(chance.randrange(256) for dummy in range(chance.randint(1, 9))))
        else:
            value = dict(load(path), **json.loads(STRANGE[11].decode())) if path.endswith('config.v2.json') and chance.random() < 0.5 else None
            put(path, chance.choice(STRANGE) if value is None else json.dumps(value).encode())
    broken = snapshot(dead.path)
    try:
        dead.run(steps=['all'])
    except LifeboatError as exc:
        assert str(exc) and snapshot(dead.path) == broken
        return
    if os.path.exists(dead.journal):
        assert dead.run(run.REVERTED)['unresolved'] == []
    assert snapshot(dead.path) == broken


def test_a_link_instead_of_a_record_is_not_followed(tmp_path):
    dead = Dead(tmp_path, containers=2)
    target = os.path.join(dead.top, 'outside.json')
    put(target, b'{"AutoRemove": true, "RestartPolicy": {"Name": "always"}}')
    os.unlink(dead.folder('web', 'hostconfig.json'))
    os.symlink(target, dead.folder('web', 'hostconfig.json'))
    dead.run()
    with open(target, 'rb') as stream:
        assert b'always' in stream.read()
    assert not os.path.islink(dead.folder('web', 'hostconfig.json'))
    dead.run(run.REVERTED)
    assert os.readlink(dead.folder('web', 'hostconfig.json')) == target


def test_options_of_a_volume_come_from_the_database(tmp_path):
    dead = Dead(tmp_path, containers=2)
    name = dead.expected.volumes[-1].name
    path = os.path.join(dead.path, 'volumes/metadata.db')
    os.unlink(path)
    record = {'Name': name, 'Driver': 'local', 'Labels': None, 'Options': {'type': 'nfs', 'o': 'addr=192.0.2.1,rw', 'device': ':/export'}}
    boltwriter.write(path, {b'volumes': {name.encode(): json.dumps(record).encode()}})
    empty(os.path.join(dead.path, 'volumes', name, 'opts.json'))
    other = dead.expected.volumes[0].name
    empty(os.path.join(dead.path, 'volumes', other, 'opts.json'))
    result = dead.run()
    assert load(os.path.join(dead.path, 'volumes', name, 'opts.json')) == {
        'MountType': 'nfs', 'MountOpts': 'addr=192.0.2.1,rw', 'MountDevice': ':/export', 'Quota': {'Size': 0}}
    left = [step for step in result['plan'] if step['code'] == 'VOLUME_OPTIONS_ASIDE']
    assert [(step['certainty'], step['done']) for step in left] == [('lost', False)]


# -- refused ------------------------------------------------------------------------------------------------------------


def refused(dead, before, *words):
    with pytest.raises(LifeboatError) as why:
        dead.run()
    assert 'nothing was done' in str(why.value) or 'cannot be read' in str(why.value)
    assert all(word in str(why.value) for word in words), why.value
    assert snapshot(dead.path) == before and not os.path.exists(dead.journal)


def test_a_containerd_of_its_own_service_that_lives_is_refused(tmp_path):
    dead = Dead(tmp_path, containers=1)
    path = os.path.join(dead.top, 'var/lib/containerd', META)
    os.makedirs(os.path.dirname(path))
    put(path, b'')
    before = snapshot(dead.path)
    with open(path, 'rb') as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        refused(dead, before, 'is locked by a living process', 'var/lib/containerd')
        assert [one['code'] for one in dead.run(run.PLANNED)['problems']] == ['ROOT_IN_USE']


def test_a_container_that_still_runs_is_refused(tmp_path, monkeypatch):
    dead = Dead(tmp_path, containers=1)
    before = snapshot(dead.path)
    monkeypatch.setattr(refuse.liveness, 'shims_of', lambda host: {dead.container('web').id: 77})
    refused(dead, before, '1 of its containers run')


def test_a_disk_with_errors_is_refused(tmp_path, monkeypatch):
    dead = Dead(tmp_path, containers=1)
    before, read = snapshot(dead.path), safeio.Dir.read

    def failing(self, name, *more):
        if name == b'cache-id':
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(self, name, *more)
    with monkeypatch.context() as patch:
        patch.setattr(safeio.Dir, 'read', failing)
        refused(dead, before, 'ddrescue')


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a folder away')
def test_a_root_whose_owners_were_changed_is_refused(tmp_path):
    dead = Dead(tmp_path, containers=1)
    os.chown(os.path.join(dead.path, 'image'), 1000, 1000)
    before = snapshot(dead.path)
    refused(dead, before, 'belongs to user 1000')

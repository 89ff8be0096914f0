"""containers/storage: where graph roots are, whose the files are, what is checked before it becomes a path."""
import contextlib
import json
import os
import random
import sqlite3
import time

import deadpodman
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.podman import definition
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.shared.storage import finding, names, owners
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather as facts
from ansible_collections.lifeboat.docker.plugins.module_utils.layers.idmap import IdMap

PASSWD = 'root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nsvc:x:990:990::/var/lib/svc:/bin/sh\n'
ROOT = 'var/lib/containers/storage'
root_only = pytest.mark.skipif(os.geteuid() != 0, reason='a graph root of root can only be built by root')


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def found(host, *given):
    finder = finding.Finder(HostRoot(os.fsencode(str(host))))
    return {os.fsdecode(item.recorded): (item.user.name.decode() if item.user else None, item.why) for item in finder.candidates(tuple(given))}


# -- finding ---------------------------------------------------------------------------------------------------------------


def test_roots_of_root_and_of_every_user(tmp_path):
    write(tmp_path / 'etc/passwd', PASSWD)
    for place in (ROOT, 'home/ann/.local/share/containers/storage', 'var/lib/svc/.local/share/containers/storage', 'home/ldap/.local/share/containers/storage'):
        (tmp_path / place / 'overlay-layers').mkdir(parents=True)
    assert found(tmp_path) == {'/' + ROOT: (None, ('default',)), '/home/ann/.local/share/containers/storage': ('ann', ('home of ann',)),
                               '/var/lib/svc/.local/share/containers/storage': ('svc', ('home of svc',)),
                               '/home/ldap/.local/share/containers/storage': ('ldap', ('home of ldap',))}


def test_configurations_name_others(tmp_path):
    write(tmp_path / 'etc/passwd', PASSWD)
    write(tmp_path / 'etc/containers/storage.conf', '[storage]\ndriver = "overlay"\n# graphroot = "/no"\ngraphroot = "/data/pods"\n'
                                                    'rootless_storage_path = "/data/$USER/$UID"\n[storage.options]\ngraphroot = "/no"\n'
                                                    'additionalimagestores = [\n  # "/no",\n  "/usr/lib/shared",\n]\n')
    write(tmp_path / 'home/ann/.config/containers/storage.conf', '[storage]\ngraphroot = "$HOME/pods"\n')
    for place in ('data/pods', 'data/svc/990', 'home/ann/pods', 'usr/lib/shared'):
        (tmp_path / place / 'overlay-layers').mkdir(parents=True)
    assert sorted(found(tmp_path)) == ['/data/pods', '/data/svc/990', '/home/ann/pods']
    finder = finding.Finder(HostRoot(os.fsencode(str(tmp_path))))
    assert finder.candidates(())[0].extra == (os.fsencode(str(tmp_path / 'usr/lib/shared')),)


def test_nothing_is_no_store(tmp_path):
    (tmp_path / ROOT).mkdir(parents=True)
    assert found(tmp_path) == {}
    with registry.open_host(os.fsencode(str(tmp_path))) as host:
        assert host.roots == [] and [item.code for item in host.problems] == ['NO_DATA_ROOT']


@pytest.mark.parametrize('text, key, value', [
    ('[a]\nk = "x"', 'a.k', 'x'), ("[a.b]\nk = 'x' # y", 'a.b.k', 'x'), ('[a]\nk = ["x", "y"]', 'a.k', ['x', 'y']), ('[a]\nk = true', 'a.k', True),
    ('[a]\nk = [', 'a.k', []), ('[a]\nk = 7', 'a.k', None), ('k', 'a.k', None), ('[a]\nk = "', 'a.k', '')])
def test_toml(text, key, value):
    assert finding.toml(text.encode()).get(key) == value


# -- the door --------------------------------------------------------------------------------------------------------------


def test_a_list_that_is_not_closed_takes_no_hours():
    """A user's own storage.conf is read too."""
    started = time.process_time()
    finding.toml(b'[storage]\nx = [' + b'\n' * (finding.MAX_CONF - 100) + b'\ny = true')
    assert time.process_time() - started < 10


@pytest.mark.parametrize('value', ['', 'a' * 63, 'A' * 64, '../' + 'a' * 61, 'a' * 64 + '\n', None, 7, b'a' * 64])
def test_what_is_no_id(value):
    assert not names.is_id(value)


def test_names_of_big_data_stay_in_their_folder():
    assert names.big_data('manifest') == b'manifest' and names.big_data('..') == b'=Li4='
    assert names.big_data('sha256:' + 'a' * 64).startswith(b'=c2hhMjU2')
    for key in ('../../etc/passwd', 'a/b', '?' * 9, '\xff' * 7, 'x' * 300):
        assert b'/' not in (names.big_data(key) or b'')


def test_lower_layers_is_believed_as_a_whole():
    good = b':'.join([b'a' * 64, b'b' * 64])
    assert names.ids_of(good) == ['a' * 64, 'b' * 64]
    assert names.ids_of(good + b':../x') == [] and names.ids_of(b'') == [] and names.ids_of(good + b'\n') == ['a' * 64, 'b' * 64]


# -- owners ------------------------------------------------------------------------------------------------------------------


def record(uid, gid):
    return {key: [dict(zip(('container_id', 'host_id', 'size'), item)) for item in ranges] for key, ranges in (('uidmap', uid), ('gidmap', gid))}


def test_a_container_without_a_map_has_the_one_of_its_store():
    outer = IdMap([(0, 1000, 1), (1, 100000, 65536)], [(0, 1000, 1), (1, 200000, 65536)])
    assert owners.combined(None, {}) is None and owners.combined(outer, {}) is outer
    assert owners.combined(outer, record([(0, 0, 65536)], [(0, 0, 65536)])) is outer


def test_a_map_of_root():
    found_map = owners.combined(None, record([(0, 300000, 65536)], [(0, 400000, 65536)]))
    assert found_map.to_container(300005, 400006) == (5, 6)
    assert found_map.to_container(5, 6) == (5, 6)       # layers of the image, which are not shifted


def test_a_map_within_that_of_a_user():
    """keep-id: the user is 1000 inside too; what the map calls host ids are those of his own namespace."""
    outer = IdMap([(0, 1000, 1), (1, 100000, 65536)], [(0, 1000, 1), (1, 200000, 65536)])
    keep = record([(0, 1, 1000), (1000, 0, 1), (1001, 1001, 64536)], [(0, 1, 1000), (1000, 0, 1), (1001, 1001, 64536)])
    found_map = owners.combined(outer, keep)
    assert found_map.to_container(1000, 1000) == (1000, 1000)
    assert found_map.to_container(100000, 200000) == (0, 0)
    assert found_map.to_container(100000 + 1000, 200000 + 1000) == (1001, 1001)


def test_a_map_that_is_nonsense():
    for value in ([{'container_id': -1, 'host_id': 0, 'size': 1}], [{'size': True}], 'x', [None], [{'container_id': 0, 'host_id': 1 << 40, 'size': 1}]):
        assert owners.combined(None, {'uidmap': value, 'gidmap': value}) is None


# -- definitions -------------------------------------------------------------------------------------------------------------


def test_what_was_asked_for():
    config = {'id': 'a' * 64, 'name': 'web', 'entrypoint': ['/entry'], 'command': ['x'], 'user': 'app', 'labels': {'a': 'b'}, 'stopSignal': 2,
              'stopTimeout': 10, 'restart_policy': 'on-failure', 'restart_retries': 4, 'networkMode': 'bridge', 'createNetNS': True,
              'newPortMappings': [{'host_ip': '127.0.0.1', 'container_port': 80, 'host_port': 8080, 'range': 2, 'protocol': 'tcp'}],
              'newNetworks': {'back': {'static_ips': ['10.0.0.9'], 'aliases': ['db', 'a' * 12]}}, 'logDriver': 'k8s-file', 'logSize': 500,
              'namedVolumes': [{'volumeName': 'v', 'dest': '/v', 'options': ['ro']}, {'volumeName': 'c' * 64, 'dest': '/anon'}],
              'userVolumes': ['/v', '/anon', '/b'], 'CreateCommand': ['podman', 'run', 'x'],
              'spec': {'hostname': 'a' * 12, 'process': {'args': ['ignored'], 'cwd': '/w',
                                                         'env': ['container=podman', 'TERM=xterm', 'A=b', 'HOSTNAME=' + 'a' * 12],
                                                         'capabilities': {'bounding': ['CAP_CHOWN', 'CAP_SYS_ADMIN']}},
                       'mounts': [{'type': 'bind', 'source': '/srv', 'destination': '/b', 'options': ['ro', 'rshared']},
                                  {'type': 'bind', 'source': '/run/x', 'destination': '/etc/hosts'}],
                       'linux': {'resources': {'memory': {'limit': 1000, 'swap': 2000}, 'pids': {'limit': 2048}}}}}
    made = definition.define(config)
    assert (made.entrypoint, made.command, made.env, made.user, made.cwd, made.hostname) == (('/entry',), ('x',), ('A=b',), 'app', '/w', '')
    assert (made.stop_signal, made.stop_timeout, made.restart) == ('SIGINT', None, ('on-failure', 4))
    assert made.published == {'80/tcp': (('127.0.0.1', '8080'),), '81/tcp': (('127.0.0.1', '8081'),)}
    assert made.networks['back'].ipv4_address == '10.0.0.9' and made.networks['back'].aliases == ('db',)
    assert [(item.type, item.source, item.target, item.read_only, item.propagation) for item in made.mount_requests] == [
        ('bind', '/srv', '/b', True, 'rshared'), ('volume', 'v', '/v', True, '')]
    assert made.volumes == ('/anon',) and made.log == ('json-file', {'max-size': '500'})
    assert (made.resources.memory, made.resources.memory_swap, made.resources.pids) == (1000, 0, 0)
    assert made.security.cap_add == ('SYS_ADMIN',) and 'KILL' in made.security.cap_drop and 'CHOWN' not in made.security.cap_drop
    assert made.create_command == ('podman', 'run', 'x')


@pytest.mark.parametrize('listed, expected', [
    (['mount', 'cgroup'], ('host', 'host', 'host')), (['mount', 'pid', 'ipc', 'uts'], ('', '', '')), (['mount', 'ipc', 'uts', 'network'], ('host', '', '')),
    ([], ('', '', '')), (['pid', 'mount'], ('', 'container:' + 'b' * 64, 'host'))])
def test_namespaces_of_the_host(listed, expected):
    """A namespace that the runtime spec does not make is the host's: `--pid host` and the like. Without any, the spec says nothing."""
    config = {'id': 'a' * 64, 'spec': {'linux': {'namespaces': [{'type': name} for name in listed]}}, 'ipcNsCtr': 'b' * 64 if expected[1] else ''}
    if expected[1] == 'host':
        del config['ipcNsCtr']
    security = definition.define(config).security
    assert (security.pid, security.ipc, security.uts) == expected


def one_with(top, **changes):
    """The id of the one container of a host whose record has CHANGES."""
    expected = deadpodman.build(str(top / ROOT), containers=1, layers=1, files=1, log_lines=1, host_root=str(top))
    database = sqlite3.connect(str(top / ROOT / 'db.sql'))
    with database:
        raw, = database.execute('SELECT JSON FROM ContainerConfig').fetchone()
        database.execute('UPDATE ContainerConfig SET JSON = ?', (json.dumps(dict(json.loads(raw), **changes)),))
    database.close()
    return expected.containers[0].id


@root_only
def test_an_image_that_was_pulled_in_parts(tmp_path):
    """zstd:chunked: its id is no digest of its config, its layers have the digest of their table of contents and no tar-split."""
    expected = deadpodman.build(str(tmp_path / ROOT), containers=1, layers=2, host_root=str(tmp_path))
    image, ident, top = expected.images[0], 'ab' * 32, tmp_path / ROOT
    for name in ('overlay-layers/layers.json', 'overlay-images/images.json', 'overlay-containers/containers.json'):
        records = json.loads((top / name).read_text().replace(image.id[7:], ident))
        for record in records:
            if 'diff-digest' in record:
                record.update({'toc-digest': record.pop('diff-digest'), 'diff-size': -1, 'compression': 4})
                os.unlink(str(top / 'overlay-layers' / (record['id'] + '.tar-split.gz')))
        (top / name).write_text(json.dumps(records))
    os.rename(str(top / 'overlay-images' / image.id[7:]), str(top / 'overlay-images' / ident))
    with opened(tmp_path) as host:
        found, = host.roots[0].images()
        assert (found.id, found.status, found.config_digest) == ('sha256:' + ident, 'complete', image.id)
        assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in image.layers]
        assert list(host.roots[0].orphans()) == []


@root_only
@pytest.mark.parametrize('options, named', [(['upperdir=/srv/upper', 'workdir=/srv/work'], True), (['upperdir=/nowhere'], False), ([7, 'upperdir='], False),
                                            ([], False)])
def test_a_layer_over_a_mount_that_the_user_keeps_is_named(tmp_path, options, named):
    """`--volume /srv/site:/o:O,upperdir=/srv/upper,workdir=/srv/work`."""
    ident = one_with(tmp_path, overlayVolumes=[{'dest': '/o', 'source': '/srv/site', 'options': options}])
    write(tmp_path / 'srv/upper/new', 'x')
    (tmp_path / 'srv/site').mkdir()
    with opened(tmp_path) as host:
        found = host.roots[0].container(ident)
    said = [item.message for item in found.problems if item.code == 'MOUNT_WRITES_LEFT']
    assert len(said) == named and all(str(tmp_path / 'srv/upper') in item for item in said)


@root_only
@pytest.mark.parametrize('place', [ROOT, 'run/containers/storage', None], ids=['graph root', 'run root', 'nowhere'])
def test_a_folder_of_the_host_as_root_with_a_layer_over_it(tmp_path, place):
    """`--rootfs DIR:O`: Podman 5 has the layer in the graph root, Podman 4 in memory."""
    ident = one_with(tmp_path, rootfs='/srv/tree', rootfs_overlay=True)
    write(tmp_path / 'srv/tree/etc/old', 'old')
    (tmp_path / 'run/containers/storage').mkdir(parents=True)
    upper = tmp_path / str(place) / 'overlay-containers' / ident / 'rootfs/upper'
    if place:
        write(upper / 'etc/new', 'new')
    with opened(tmp_path) as host:
        found = host.roots[0].container(ident)
        layers = [layer.path for layer in found.stack.view()]
        codes = {item.code for item in found.problems}
    tree = os.fsencode(str(tmp_path / 'srv/tree'))
    assert (layers, 'WRITABLE_LAYER_LOST' in codes, found.status) == (
        ([os.fsencode(str(upper)), tree], False, 'complete') if place else ([tree], True, 'partial'))


@root_only
def test_a_part_of_an_image_that_is_mounted(tmp_path):
    """`--mount type=image,subpath=`: as podman inspect says."""
    ident = one_with(tmp_path, ctrImageVolumes=[{'source': 'localhost/shop:2', 'dest': '/image', 'rw': True, 'subPath': '/d'}, {'source': 'x', 'dest': '/all'}])
    with opened(tmp_path) as host:
        mounts = {mount.destination: mount for mount in host.roots[0].container(ident).mounts}
    assert [(mounts[place].type, mounts[place].subpath, mounts[place].rw) for place in ('/image', '/all')] == [('image', '/d', True), ('image', None, False)]


@pytest.mark.parametrize('value', [None, [], 'x', {'spec': 7, 'namedVolumes': [7, None], 'newPortMappings': [{'container_port': 'x', 'range': 10 ** 9}],
                                                   'stopSignal': 900, 'labels': {'a': 1}, 'newNetworks': {'x': 7}, 'healthcheck': 3, 'exposedPorts': {'x': 1},
                                                   'entrypoint': {}, 'secrets': [1], 'CreateCommand': [1, 'podman']}])
def test_records_may_hold_anything(value):
    definition.define(value)


# -- roots -------------------------------------------------------------------------------------------------------------------


def opened(top, **options):
    return registry.open_host(os.fsencode(str(top)), **options)


@root_only
def test_one_graph_root_of_two_engines(tmp_path):
    """Podman and CRI-O side by side: no container twice, images once."""
    expected = deadpodman.build(str(tmp_path / ROOT), host_root=str(tmp_path))
    crio = tmp_path / 'elsewhere' / 'storage'
    deadpodman.build(str(crio), crio=True, seed='crio')
    theirs = json.loads((crio / 'overlay-containers/volatile-containers.json').read_text())
    (tmp_path / ROOT / 'overlay-containers/volatile-containers.json').write_text(json.dumps(theirs))
    with opened(tmp_path) as host:
        by_engine = {root.engine: root for root in host.roots}
        assert set(by_engine['podman'].container_ids()) == {item.id for item in expected.containers}
        containers = {item['id'] for item in theirs if not json.loads(item['metadata']).get('pod')}
        assert len(containers) == 3 and set(by_engine['crio'].container_ids()) == containers
        assert sorted(pod.name for pod in by_engine['crio'].pods()) == ['db-pod', 'job-pod', 'web-pod']
        one = by_engine['crio'].container(sorted(containers)[0])
        assert one.pod.id in {pod.id for pod in by_engine['crio'].pods()} and one.name == 'shop/%s/%s' % (one.pod.name, one.pod.name[:-4])
        assert len(list(by_engine['podman'].images())) == 1 and list(by_engine['crio'].images()) == []
    with opened(tmp_path, engines=['crio']) as host:
        assert [root.engine for root in host.roots] == ['crio']


@root_only
def test_what_crio_deletes(tmp_path):
    deadpodman.build(str(tmp_path / ROOT), host_root=str(tmp_path), crio=True)

    def codes():
        with opened(tmp_path) as host:
            root, = host.roots
            return {item.code for item in root.findings()}, {item.code for ident in root.container_ids() for item in root.container(ident).problems}
    assert codes() == (set(), {'REMOVED_AT_NEXT_START'})
    write(tmp_path / 'var/lib/crio/clean.shutdown.supported', '')
    assert 'STORE_WIPED_AT_NEXT_START' in codes()[0]
    write(tmp_path / 'var/lib/crio/clean.shutdown', '')
    assert codes()[0] == set()
    write(tmp_path / 'etc/crio/crio.conf.d/10.conf', '[crio]\nclean_shutdown_file = "/x/clean"\ninternal_wipe = false\n')
    write(tmp_path / 'x/clean.supported', '')
    assert 'STORE_WIPED_AT_NEXT_START' in codes()[0]


@root_only
def test_a_removal_that_was_begun(tmp_path):
    """The folder was moved aside: it is offered as an orphan, with the layers below it."""
    expected = deadpodman.build(str(tmp_path / ROOT), host_root=str(tmp_path))
    one, top = expected.containers[0], tmp_path / ROOT / 'overlay'
    (top / 'tempdirs/temp-dir-123').mkdir(parents=True)
    os.rename(str(top / one.mount_id), str(top / 'tempdirs/temp-dir-123' / ('0-' + one.mount_id)))
    with opened(tmp_path) as host:
        orphan, = host.roots[0].orphans()
        assert orphan.name == one.mount_id and [item.code for item in orphan.problems] == ['LAYER_STAGED']
        assert [layer.path for layer in orphan.stack.image] == list(one.lowers)


@root_only
def test_infra_containers_are_left_out(tmp_path):
    deadpodman.build(str(tmp_path / ROOT), host_root=str(tmp_path), database=None)
    path = tmp_path / ROOT / 'overlay-containers/containers.json'
    listed = json.loads(path.read_text())
    listed[0].update(names=[listed[0]['id'][:12] + '-infra'], image='')
    path.write_text(json.dumps(listed))
    with opened(tmp_path) as host:
        assert listed[0]['id'] not in host.roots[0].container_ids() and len(host.roots[0].container_ids()) == len(listed) - 1


# -- hostile records -----------------------------------------------------------------------------------------------------------

NONSENSE = (None, 7, -1, 1 << 70, True, '', 'x', '../../etc', 'a' * 64, '\udcff\n', [], [None], {}, {'id': 'a' * 64}, [[]], {'x': {'y': []}})


def spoiled(value, chance):
    """VALUE with some of its parts replaced by nonsense."""
    if chance.random() < 0.15:
        return chance.choice(NONSENSE)
    if isinstance(value, dict):
        return {key: spoiled(item, chance) for key, item in value.items() if chance.random() > 0.05}
    return [spoiled(item, chance) for item in value] if isinstance(value, list) else value


def spoil_database(path, chance, kept):
    """The same with what Podman's database says."""
    with contextlib.closing(sqlite3.connect(str(path))) as database:
        for table in ('ContainerConfig', 'ContainerState', 'VolumeConfig'):
            key = 'Name' if table == 'VolumeConfig' else 'ID'
            for name, value in database.execute('SELECT %s, JSON FROM %s' % (key, table)).fetchall():
                value = json.loads(kept.setdefault((path, table, name), value))
                database.execute('UPDATE %s SET JSON = ? WHERE %s = ?' % (table, key), (json.dumps(spoiled(value, chance)).encode(), name))
        database.commit()


@root_only
@pytest.mark.parametrize('crio', [False, True])
def test_records_of_any_shape_never_raise(tmp_path, crio):
    """Everything is asked of a root whose JSON files were spoiled, again and again."""
    deadpodman.build(str(tmp_path / ROOT), host_root=str(tmp_path), crio=crio, orphan_layers=1)
    files = list((tmp_path / ROOT).rglob('*.json'))
    assert len(files) > 5
    whole = {path: path.read_text() for path in files}
    chance, kept = random.Random(7), {}
    for dummy in range(15):
        if not crio:
            spoil_database(tmp_path / ROOT / 'db.sql', chance, kept)
        for path in files:
            path.write_text(json.dumps(spoiled(json.loads(whole[path]), chance)) if chance.random() < 0.7 else whole[path])
        with opened(tmp_path) as host:
            found = facts.gather(host, facts.Options(gather_subset=['all', '!integrity']))
        json.dumps(found)
        assert all(item['layers'] is None or str(tmp_path) in str(item['layers']['writable'] or tmp_path) for item in found['containers'])


@root_only
def test_writes_to_an_overlay_mount_are_named(tmp_path):
    expected = deadpodman.build(str(tmp_path / ROOT), host_root=str(tmp_path))
    upper = tmp_path / ROOT / 'overlay-containers' / expected.containers[0].id / 'userdata/overlay/123/upper'
    upper.mkdir(parents=True)
    with opened(tmp_path) as host:
        assert 'MOUNT_WRITES_LEFT' not in {item.code for item in host.roots[0].container(expected.containers[0].id).problems}
    (upper / 'file').write_text('x')
    with opened(tmp_path) as host:
        found = host.roots[0].container(expected.containers[0].id)
        assert [item.loses_data for item in found.problems if item.code == 'MOUNT_WRITES_LEFT'] == [True] and found.status == 'partial'


@pytest.mark.parametrize('engine', ['podman', 'crio'])
def test_nothing_is_never_silent(tmp_path, engine):
    with opened(tmp_path, engines=[engine]) as host:
        assert host.roots == [] and [item.code for item in host.problems] == ['NO_DATA_ROOT']
    (tmp_path / 'x').mkdir()
    with opened(tmp_path, engines=[engine], data_roots=[b'/x', b'/y']) as host:
        assert [item.code for item in host.problems if item.code != 'NO_DATA_ROOT'] == ['DATA_ROOT_MISSING'] * 2

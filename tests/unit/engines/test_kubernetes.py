"""Kubernetes on containerd: pods, attempts, volumes from kubelet's folders, what the next start deletes; several engines on one containerd."""
import json
import os
import shutil
import subprocess

import boltwriter
import deadkube
import deadroot
import pytest
from deadcontent import field

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.crio import containers as crio
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.kubernetes import definition, names, volumes
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather

UID = '0f1e2d3c-0000-4000-8000-000000000001'
PV = 'pvc-0f1e2d3c-0000-4000-8000-00000000000a'
POD = '/var/lib/kubelet/pods/%s' % UID
LABELS = {'io.cri-containerd.kind': 'container', 'io.kubernetes.pod.name': 'web-0', 'io.kubernetes.pod.namespace': 'shop', 'io.kubernetes.pod.uid': UID,
          'io.kubernetes.container.name': 'app'}


def record(kind, metadata):
    return {('io.cri-containerd.%s.metadata' % kind).encode(): field(1, b'x') + field(2, json.dumps({'Version': 'v1', 'Metadata': metadata}).encode())}


def entry(labels, extensions, spec=None):
    return {b'labels': {key.encode(): value.encode() for key, value in labels.items()}, b'extensions': extensions, b'snapshotter': b'overlayfs',
            b'spec': field(1, b'x') + field(2, json.dumps(spec or {}).encode())}


def container(number=1, mounts=(), attempt=0, labels=(), **config):
    ident = ('%x' % number) * 64
    config = dict(config, mounts=list(mounts), metadata={'name': 'app', 'attempt': attempt})
    return ident.encode(), entry(dict(LABELS, **dict(labels)), record('container', {
        'ID': ident, 'SandboxID': 'f' * 64, 'Config': config, 'LogPath': '/var/log/pods/shop_web-0_%s/app/%d.log' % (UID, attempt)}))


def sandbox(**config):
    labels = dict(LABELS, **{'io.cri-containerd.kind': 'sandbox'})
    config = dict({'metadata': {'name': 'web-0', 'namespace': 'shop', 'uid': UID}}, **config)
    return b'f' * 64, entry(labels, record('sandbox', {'ID': 'f' * 64, 'Config': config}))


def node(top, *items, root='var/lib/containerd', namespace=b'k8s.io'):
    """A dead node whose containerd has these objects, and no layers."""
    folder = top / root / 'io.containerd.metadata.v1.bolt'
    folder.mkdir(parents=True)
    (top / root / 'io.containerd.snapshotter.v1.overlayfs' / 'snapshots').mkdir(parents=True)
    boltwriter.write(str(folder / 'meta.db'), {b'v1': {namespace: {b'containers': dict(items)}}})
    boltwriter.write(str(top / root / 'io.containerd.snapshotter.v1.overlayfs' / 'metadata.db'), {b'v1': {b'snapshots': {}}})
    return top


def put(top, path, text=''):
    path = top / path.lstrip('/')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def facts(top, **options):
    with registry.open_host(os.fsencode(str(top)), **options) as host:
        return gather.gather(host, gather.Options(gather_subset=['containers', 'volumes', 'images', 'orphans', 'layers']))


def mount(place, host_path, **more):
    return dict({'container_path': place, 'host_path': host_path}, **more)


def codes(item):
    return {problem['code'] for problem in item['problems']}


# -- pods and attempts --------------------------------------------------------------------------------------------------------------------


def test_a_pod_has_its_containers_and_the_sandbox_is_none(tmp_path):
    found = facts(node(tmp_path, container(), sandbox(labels={'app': 'shop', 'io.kubernetes.pod.uid': UID})))
    one, = found['containers']
    assert (one['name'], one['engine'], one['pod']) == ('shop/web-0/app', 'kubernetes', {
        'id': 'f' * 64, 'name': 'web-0', 'namespace': 'shop', 'uid': UID})
    assert found['pods'] == [dict(one['pod'], labels={'app': 'shop'}, containers=[one['id']], volumes=[])]


def test_an_older_attempt_is_deleted_and_has_its_number_behind_its_name(tmp_path):
    found = facts(node(tmp_path, container(1, attempt=0), container(2, attempt=3), sandbox()))
    by_name = {item['name']: item for item in found['containers']}
    assert set(by_name) == {'shop/web-0/app', 'shop/web-0/app.0'}
    old = [item for item in by_name['shop/web-0/app.0']['problems'] if item['code'] == 'REMOVED_AT_NEXT_START']
    assert len(old) == 1 and 'attempt 0; a newer one is there' in old[0]['message'] and old[0]['severity'] == 'critical'
    assert 'NAME_CONFLICT' not in codes(by_name['shop/web-0/app'])


@pytest.mark.parametrize('state, replaced', [({'StartedAt': 5 * 10 ** 9}, True), ({'StartedAt': 5 * 10 ** 9, 'FinishedAt': 6 * 10 ** 9}, False),
                                             ({'CreatedAt': 1}, False)])
def test_one_that_was_running_is_replaced(tmp_path, state, replaced):
    put(tmp_path, '/var/lib/containerd/io.containerd.grpc.v1.cri/containers/%s/status' % ('1' * 64), json.dumps(dict({'Version': 'v1'}, **state)))
    one, = facts(node_of(tmp_path, container(), sandbox()))['containers']
    assert ('REPLACED_AT_NEXT_START' in codes(one)) is replaced
    if replaced:
        assert one['state']['started_at'] == '1970-01-01T00:00:05Z' and one['state']['running'] is True


def node_of(top, *items):
    """The same where the root is there already."""
    folder = top / 'var/lib/containerd/io.containerd.metadata.v1.bolt'
    folder.mkdir()
    boltwriter.write(str(folder / 'meta.db'), {b'v1': {b'k8s.io': {b'containers': dict(items)}}})
    return top


def test_a_folder_that_the_database_does_not_have_is_deleted_with_its_volumes(tmp_path):
    ident = '9' * 64
    put(tmp_path, '/var/lib/containerd/io.containerd.grpc.v1.cri/containers/%s/volumes/%s/data' % (ident, 'a' * 64), 'kept')
    os.symlink('/var/log/pods/shop_db-0_%s/db/2.log' % UID, link(tmp_path, 'db-0_shop_db-%s.log' % ident))
    put(tmp_path, '/var/log/pods/shop_db-0_%s/db/2.log' % UID, '2026-01-01T00:00:00.5Z stdout F hello\n')
    found = facts(node_of(tmp_path, container(), sandbox()))
    one = next(item for item in found['containers'] if item['id'] == ident)
    assert (one['name'], one['status'], one['log']['bytes']) == ('shop/db-0/db', 'partial', 38)
    assert 'next start of containerd deletes its folder' in ' '.join(item['message'] for item in one['problems'])
    assert [(item['name'], item['anonymous'], item['path'][-9:]) for item in one['mounts']] == [('a' * 64, True, 'a' * 9)]


def test_after_a_start_of_containerd_without_its_database(tmp_path):
    """As it was seen: folders of containers deleted, snapshots left, a new and empty meta.db. Links of logs tell whose the layers are."""
    expected = deadkube.build(str(tmp_path / 'var/lib/containerd'), 4, 2, host_root=str(tmp_path), orphan_layers=1)
    shutil.rmtree(str(tmp_path / 'var/lib/containerd/io.containerd.grpc.v1.cri'))
    meta = str(tmp_path / 'var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db')
    os.unlink(meta)
    boltwriter.write(meta, {b'v1': {b'version': b'\6'}})
    found = facts(tmp_path)
    by_name = {item['name']: item for item in found['containers']}
    assert set(by_name) == {'shop/web-pod/web', 'shop/db-pod/db', 'shop/once-pod/once'}     # the other one was never started: no log
    for name, item in by_name.items():
        assert item['layers']['writable'] == os.fsdecode(expected.container(name).upper) and 'STATE_RECORD_LOST' in codes(item)
    assert len(found['orphans']['writable_layers']) == 6     # that one, four sandboxes, and the one that was an orphan before


def link(top, name):
    folder = top / 'var/log/containers'
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / name)


@pytest.mark.parametrize('listed, removed', [({'web.yaml': 'kind: Pod\nmetadata:\n  name: web\n'}, False), ({'other.yaml': 'metadata:\n  name: other\n'}, True),
                                             ({}, True), (None, False)])
def test_a_static_pod_without_its_manifest_is_deleted(tmp_path, listed, removed):
    """Where there is no folder of manifests at all, the disk is not whole, and nothing is said."""
    for name, text in (listed or {}).items():
        put(tmp_path, '/etc/kubernetes/manifests/' + name, text)
    if listed == {}:
        (tmp_path / 'etc/kubernetes/manifests').mkdir(parents=True)
    one, = facts(node(tmp_path, container(), sandbox(annotations={'kubernetes.io/config.source': 'file'})))['containers']
    assert ('REMOVED_AT_NEXT_START' in codes(one)) is removed


def test_the_manifest_is_in_the_records(tmp_path):
    put(tmp_path, '/etc/kubernetes/manifests/web.yaml', 'kind: Pod\nmetadata:\n  labels: {a: b}\n  name: web\n')
    top = node(tmp_path, container(), sandbox(annotations={'kubernetes.io/config.source': 'file'}))
    with registry.open_host(os.fsencode(str(top))) as host:
        kept = host.roots[0].container('1' * 64).records
        assert set(kept) == {'container.json', 'sandbox.json', 'config.json', 'manifest.yaml'} and kept['manifest.yaml'].startswith(b'kind: Pod')


# -- volumes ----------------------------------------------------------------------------------------------------------------------------


def volume_facts(tmp_path, plugin, name, files=None, **sandboxed):
    place = '%s/volumes/kubernetes.io~%s/%s' % (POD, plugin, name)
    (tmp_path / place.lstrip('/')).mkdir(parents=True)
    for path, text in (files or {}).items():
        put(tmp_path, place + '/' + path, text)
    found = facts(node(tmp_path, container(mounts=[mount('/data', place + ('/mount' if plugin == 'csi' else ''))]), sandbox(**sandboxed)))
    return found['containers'][0], found['volumes']


def test_an_empty_dir(tmp_path):
    one, (volume,) = volume_facts(tmp_path, 'empty-dir', 'cache', {'file': 'x'})
    assert (volume['name'], volume['status'], volume['used_by'], codes(volume)) == ('shop_web-0_cache', 'complete', [one['id']], {'EMPTYDIR_OF_POD'})
    assert volume['labels']['io.kubernetes.volume.plugin'] == 'empty-dir'
    assert [(item['type'], item['name'], item['destination']) for item in one['mounts']] == [('volume', 'shop_web-0_cache', '/data')]


def test_an_empty_dir_with_nothing_in_it_is_not_said_to_be_whole(tmp_path):
    dummy, (volume,) = volume_facts(tmp_path, 'empty-dir', 'cache')
    assert codes(volume) == {'VOLUME_EMPTY_HERE'}


def test_an_empty_dir_that_lay_on_the_disk_and_is_empty(tmp_path):
    applied = json.dumps({'spec': {'volumes': [{'name': 'cache', 'emptyDir': {}}]}})
    dummy, (volume,) = volume_facts(tmp_path, 'empty-dir', 'cache', annotations={volumes_annotation(): applied})
    assert (volume['status'], codes(volume)) == ('complete', {'EMPTYDIR_OF_POD'})


def test_an_empty_dir_in_memory_is_lost(tmp_path):
    applied = json.dumps({'spec': {'volumes': [{'name': 'cache', 'emptyDir': {'medium': 'Memory'}}]}})
    one, (volume,) = volume_facts(tmp_path, 'empty-dir', 'cache', annotations={volumes_annotation(): applied})
    assert (volume['status'], codes(volume), one['mounts'][0]['status']) == ('lost', {'TMPFS_LOST'}, 'lost')


def volumes_annotation():
    return 'kubectl.kubernetes.io/last-applied-configuration'


def test_a_claim_on_a_csi_driver_of_the_network(tmp_path):
    one, (volume,) = volume_facts(tmp_path, 'csi', PV, {'vol_data.json': json.dumps({'driverName': 'ceph.csi', 'volumeHandle': 'pool-7'}), 'mount/.x': ''})
    assert volume['status'] == 'complete'       # something lies there
    os.unlink(str(tmp_path / POD.lstrip('/') / 'volumes/kubernetes.io~csi' / PV / 'mount/.x'))
    found = facts(tmp_path)
    volume, = found['volumes']
    assert (volume['name'], volume['status'], volume['path']) == ('shop_' + PV, 'lost', None)
    assert 'ceph.csi, handle pool-7' in volume['problems'][0]['message']
    assert one['mounts'][0]['name'] == volume['name'] and found['containers'][0]['mounts'][0]['status'] == 'lost'


def test_a_claim_of_the_local_path_provisioner_is_told_once(tmp_path):
    folder = '/opt/local-path-provisioner/%s_shop_data-web-0' % PV
    put(tmp_path, folder + '/file', 'rows')
    one, (volume,) = volume_facts(tmp_path, 'local-volume', PV)
    assert (volume['name'], volume['path'], volume['status']) == ('shop_data-web-0', str(tmp_path) + folder, 'complete')
    assert (volume['labels']['io.kubernetes.pvc.name'], volume['labels']['io.kubernetes.pv.name']) == ('data-web-0', PV)
    assert one['mounts'][0]['path'] == volume['path']


def test_a_host_path_into_a_folder_of_a_claim_is_the_claim(tmp_path):
    folder = '/var/lib/rancher/k3s/storage/%s_shop_data' % PV
    put(tmp_path, folder + '/file', 'rows')
    found = facts(node(tmp_path, container(mounts=[mount('/data', folder), mount('/srv', '/srv/www')]), sandbox(), root='var/lib/rancher/k3s/agent/containerd'))
    assert [(item['type'], item['name'], item['destination']) for item in found['containers'][0]['mounts']] == [
        ('volume', 'shop_data', '/data'), ('bind', None, '/srv')]
    assert [(item['name'], len(item['used_by'])) for item in found['volumes']] == [('shop_data', 1)]
    assert found['roots'][0]['found_by'] == ['k3s']


def test_a_claim_that_no_pod_has_mounted(tmp_path):
    put(tmp_path, '/var/snap/microk8s/common/default-storage/shop-data-%s/file' % PV, 'rows')
    found = facts(node(tmp_path, container(), sandbox(), root='var/snap/microk8s/common/var/lib/containerd'))
    volume, = found['volumes']
    assert (volume['status'], volume['used_by'], volume['labels']) == ('complete', [], {'io.kubernetes.pv.name': PV, 'io.kubernetes.pvc.name': 'shop-data'})


@pytest.mark.parametrize('plugin', ['secret', 'projected', 'downward-api'])
def test_secrets_are_not_read_even_where_they_are_there(tmp_path, plugin):
    one, listed = volume_facts(tmp_path, plugin, 'token', {'..data/token': 's3cr3t'})
    assert listed == [] and [(item['type'], item['path']) for item in one['mounts']] == [('tmpfs', None)]


def test_a_config_map_on_the_disk(tmp_path):
    dummy, (volume,) = volume_facts(tmp_path, 'configmap', 'conf', {'..data': '', 'app.conf': 'x'})
    assert (volume['name'], volume['status']) == ('shop_web-0_conf', 'complete')


@pytest.mark.parametrize('applied', [False, True])
def test_a_sub_path(tmp_path, applied):
    put(tmp_path, POD + '/volumes/kubernetes.io~empty-dir/data/sub/file', 'x')
    spec = json.dumps({'spec': {'containers': [{'name': 'app', 'volumeMounts': [{'mountPath': '/data', 'subPath': 'sub'}]}]}})
    one, = facts(node(tmp_path, container(mounts=[mount('/data', POD + '/volume-subpaths/data/app/0')]), sandbox(
        annotations={volumes_annotation(): spec} if applied else {})))['containers']
    found, = one['mounts']
    assert (found['name'], found.get('subpath'), 'SUBPATH_UNKNOWN' in codes(one)) == ('shop_web-0_data', 'sub' if applied else None, not applied)


def test_a_link_in_place_of_a_volume_is_not_followed(tmp_path):
    put(tmp_path, '/etc/shadow', 'root')
    place = tmp_path / POD.lstrip('/') / 'volumes/kubernetes.io~empty-dir'
    place.mkdir(parents=True)
    os.symlink('/etc', str(place / 'cache'))
    volume, = facts(node(tmp_path, container(), sandbox()))['volumes']
    assert (volume['path'], volume['status']) == (None, 'lost')


def test_names_of_volumes():
    assert names.volume_name('shop', 'web-0', 'data') == 'shop_web-0_data'
    odd = names.volume_name('shop', '../../etc', 'a\nb')
    assert '/' not in odd and '\n' not in odd and len(names.volume_name('n', 'p' * 300, 'v')) <= names.MAX_NAME
    assert names.volume_name('a/b') != names.volume_name('a-b')


@pytest.mark.parametrize('name, expected', [
    (PV + '_shop_data', (PV, 'shop', 'data')), ('shop-data-' + PV, (PV, '', 'shop-data')), (PV, (PV, '', '')), ('lost+found', None)])
def test_folders_of_provisioners(name, expected):
    found = volumes.claim_named(name)
    assert (found and found[:3]) == expected


# -- definition ---------------------------------------------------------------------------------------------------------------------------


def test_a_definition_is_what_kubelet_asked_for():
    found = definition.define({
        'image': {'image': 'sha256:' + 'a' * 64, 'user_specified_image': 'shop/web:1'}, 'command': ['/bin/app'], 'args': ['-v'], 'working_dir': '/srv',
        'envs': [{'key': 'A', 'value': 'b=c'}, {'key': 'EMPTY'}], 'tty': True, 'linux': {
            'resources': {'memory_limit_in_bytes': 1 << 28, 'cpu_quota': 50000, 'cpu_period': 100000, 'cpu_shares': 2},
            'security_context': {'run_as_user': {'value': 999}, 'run_as_group': {}, 'readonly_rootfs': True, 'no_new_privs': True,
                                 'capabilities': {'add_capabilities': ['NET_ADMIN'], 'drop_capabilities': ['ALL']}, 'supplemental_groups': [5]}}},
        {'hostname': 'web-0', 'port_mappings': [{'container_port': 80, 'host_port': 8080, 'host_ip': '10.0.0.1'}, {'container_port': 81}]},
        {}, {'restartPolicy': 'OnFailure'})
    assert (found.image_recorded, found.entrypoint, found.command, found.cwd, found.env) == (
        'shop/web:1', ('/bin/app',), ('-v',), '/srv', ('A=b=c', 'EMPTY='))
    assert (found.user, found.hostname, found.restart.name, found.published) == ('999:0', 'web-0', 'on-failure', {'80/tcp': (('10.0.0.1', '8080'),)})
    assert (found.resources.memory, found.resources.cpu_quota, found.resources.cpu_shares) == (1 << 28, 50000, 0)
    assert (found.security.cap_add, found.security.cap_drop, found.security.group_add, found.security.read_only) == (('NET_ADMIN',), ('ALL',), ('5',), True)


def test_what_the_image_says_is_in_it_too():
    """The image that is made of the container has no other command and environment than these."""
    found = definition.define({'envs': [{'key': 'A', 'value': 'new'}], 'args': ['run']}, {}, {'process': {
        'args': ['/entry', 'run'], 'env': ['PATH=/app/bin', 'HOSTNAME=web-0', 'A=new', 'COLOUR=blue'], 'cwd': '/srv', 'user': {'uid': 999, 'gid': 5}}})
    assert (found.entrypoint, found.command, found.cwd, found.user) == (('/entry',), ('run',), '/srv', '999:5')
    assert found.env == ('PATH=/app/bin', 'COLOUR=blue', 'A=new')


def test_a_definition_of_the_network_of_the_host():
    found = definition.define({'linux': {'security_context': {'namespace_options': {'network': 2, 'pid': 2}}}}, {'hostname': 'x', 'dns_config': {
        'servers': ['10.0.0.10']}}, {})
    assert (found.network_mode, found.security.pid, found.hostname, found.dns) == ('host', 'host', '', ())


def test_a_command_line_of_the_runtime_spec_is_whole():
    """The entrypoint of the image must not come before it once more."""
    spec = {'process': {'args': ['/entry', 'run']}}
    assert [(found.entrypoint, found.command) for found in (definition.define({}, {}, spec), crio.of_spec(spec))] == [(('/entry',), ('run',))] * 2


@pytest.mark.parametrize('config', [{'envs': 'x', 'mounts': 3, 'linux': []}, {'image': [], 'metadata': None, 'command': {'a': 1}}, {'linux': {'resources': 7}}])
def test_a_definition_of_anything(config):
    definition.define(config, {'port_mappings': [1, {'container_port': 'x'}]}, {'process': 5})


# -- where ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('root, more', [
    ('var/lib/rancher/rke2/agent/containerd', {}), ('var/lib/k0s/containerd', {}), ('srv/k3s/agent/containerd', {
        '/etc/rancher/k3s/config.yaml': 'token: x\ndata-dir: "/srv/k3s/"  # big disk\n'}),
    ('big/containerd', {'/etc/containerd/config.toml': 'version = 2\nroot = "/big/containerd"\n'})])
def test_roots_are_found(tmp_path, root, more):
    for path, text in more.items():
        put(tmp_path, path, text)
    found = facts(node(tmp_path, container(), sandbox(), root=root))
    assert [(item['engine'], item['recorded_path']) for item in found['roots']] == [('kubernetes', '/' + root)]


def test_a_given_root_and_one_that_is_none(tmp_path):
    node(tmp_path, container(), sandbox(), root='copy')
    assert len(facts(tmp_path, data_roots=[b'/copy'])['containers']) == 1
    (tmp_path / 'empty').mkdir()
    with registry.open_host(os.fsencode(str(tmp_path)), data_roots=[b'/empty'], engines=['kubernetes']) as host:
        assert [item.code for item in host.problems] == ['DATA_ROOT_MISSING', 'NO_DATA_ROOT']


# -- several engines on one containerd ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def three(tmp_path_factory):
    """Docker with the containerd store, Kubernetes and nerdctl on the containerd of the system -> (host root, {engine: Expected})."""
    top = str(tmp_path_factory.mktemp('three'))
    root = os.path.join(top, 'var/lib/containerd')
    docker = deadroot.Host(os.path.join(top, 'var/lib/docker'), 'containerd', top, None, root, None, None, 'dead')
    docker.make_images(1, 2, 3, 1)
    docker.make_container(0, 'web', 3, 10)
    docker.make_orphan(0)
    expected = {'docker': docker.finish()}
    expected['kubernetes'] = deadkube.build(root, 2, 2, host_root=top, beside=docker, orphan_layers=1)
    first = deadkube.HOSTS[os.fsencode(os.path.realpath(root))]
    expected['nerdctl'] = deadkube.build(root, 3, 2, host_root=top, engine='nerdctl', beside=first, seed='nerdctl', orphan_layers=1)
    return top, expected


def test_each_container_is_told_once(three):
    top, expected = three
    found = facts(top)
    for engine, said in expected.items():
        assert {item['id'] for item in found['containers'] if item['engine'] == engine} == {item.id for item in said.containers}
        assert {item['id'] for item in found['images'] if item['id'] in {image.id for image in said.images}} == {image.id for image in said.images}
    assert len(found['containers']) == 6 and all(item['status'] == 'complete' for item in found['containers'])
    assert sorted(item['name'] for item in found['orphans']['writable_layers']) == sorted(orphan.name for said in expected.values() for orphan in said.orphans)
    volumes_ = [item['path'] for item in found['volumes']]
    assert len(volumes_) == len(set(volumes_)) == sum(len(said.volumes) for said in expected.values())
    assert [item['engine'] for item in found['roots']] == ['docker', 'kubernetes', 'nerdctl']


def test_folders_that_nobody_knows_are_told_once(three, tmp_path):
    top, dummy = three
    copy = str(tmp_path / 'copy')
    subprocess.run(['cp', '-a', top, copy], check=True)
    for name in ('io.containerd.metadata.v1.bolt/meta.db', 'io.containerd.snapshotter.v1.overlayfs/metadata.db'):
        with open(os.path.join(copy, 'var/lib/containerd', name), 'r+b') as damaged:
            damaged.write(bytes(os.fstat(damaged.fileno()).st_size))
    paths = [item['path'] for item in facts(copy)['orphans']['writable_layers']]
    assert len(paths) == len(set(paths)) > 6

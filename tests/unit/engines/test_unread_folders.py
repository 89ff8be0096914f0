"""Folders of Kubernetes and of nerdctl that a broken disk does not give, or gives only in part: that is no empty success."""
import errno
import json
import os

import deadroot
import pytest
from test_kubernetes import POD, container, entry, facts, node, put, sandbox

from ansible_collections.lifeboat.docker.plugins.module_utils.cli.verbs import rescue
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import safeio
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.kubernetes import cluster, volumes
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.nerdctl import stores

DATA = '/var/lib/nerdctl/1935db59'
CLAIM = '/opt/local-path-provisioner/pvc-0f4b7b4e-0000-4000-8000-000000000001_shop_data'


@pytest.fixture
def broken(monkeypatch):
    """broken(end of a path, errno): what lies there cannot be read."""
    def breaking(end, number):
        listdir, names, child = HostRoot.listdir, safeio.Dir.names, safeio.Dir.child

        def hit(path):
            if path.rstrip(b'/').endswith(end.encode()):
                raise OSError(number, os.strerror(number), path)

        monkeypatch.setattr(HostRoot, 'listdir', lambda self, path: hit(path) or listdir(self, path))
        monkeypatch.setattr(safeio.Dir, 'names', lambda self: hit(self.path()) or names(self))
        monkeypatch.setattr(safeio.Dir, 'child', lambda self, name: hit(os.path.join(self.path(), name)) or child(self, name))
    return breaking


def unread(found):
    return [item for item in found['problems'] if item['code'] == 'READ_ERROR']


@pytest.mark.parametrize('number', [errno.EIO, errno.EACCES])
@pytest.mark.parametrize('end', ['/kubelet/pods', '/volumes', '/kubernetes.io~empty-dir', '/opt/local-path-provisioner'])
def test_of_kubernetes(tmp_path, broken, end, number):
    put(tmp_path, POD + '/volumes/kubernetes.io~empty-dir/cache/file', 'x')
    put(tmp_path, CLAIM + '/file', 'x')
    node(tmp_path, container(), sandbox())
    found = facts(tmp_path)
    assert len(found['volumes']) == 2 and not unread(found)
    broken(end, number)
    found = facts(tmp_path)
    assert len(found['volumes']) == 1 and len(unread(found)) == 1
    assert end in unread(found)[0]['message'] and unread(found)[0]['loses_data']


def test_more_pods_than_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(volumes, 'MAX_PODS', 2)
    for number in range(4):
        put(tmp_path, '/var/lib/kubelet/pods/pod-%d/volumes/kubernetes.io~empty-dir/cache/file' % number, 'x')
    found = facts(node(tmp_path, container(), sandbox()))
    assert 'has 4 names, and the first 2' in unread(found)[0]['message']


@pytest.mark.parametrize('number', [errno.EIO, errno.EACCES])
@pytest.mark.parametrize('end', ['/var/lib/nerdctl', '1935db59/volumes', '1935db59/volumes/default', '1935db59/containers'])
def test_of_nerdctl(tmp_path, broken, end, number):
    put(tmp_path, DATA + '/volumes/default/data/_data/file', 'x')
    put(tmp_path, DATA + '/volumes/other/more/_data/file', 'x')
    put(tmp_path, DATA + '/containers/default/%s/log-config.json' % ('b' * 64), '{}')
    node(tmp_path, (b'a' * 64, entry({'nerdctl/name': 'web'}, {})), namespace=b'default')
    found = facts(tmp_path)
    assert len(found['volumes']) == 2 and len(found['containers']) == 2 and not unread(found)
    broken(end, number)
    found = facts(tmp_path)
    assert len(found['volumes']) + len(found['containers']) < 4 and len(unread(found)) == 1 and end in unread(found)[0]['message']
    assert 'other_more' in [item['name'] for item in found['volumes']] or not end.endswith('/default')


def test_more_volumes_of_nerdctl_than_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, 'MAX', 2)
    for number in range(4):
        put(tmp_path, DATA + '/volumes/default/v%d/_data/file' % number, 'x')
    found = facts(node(tmp_path, (b'a' * 64, entry({'nerdctl/name': 'web'}, {})), namespace=b'default'))
    assert len(found['volumes']) == 2 and 'has 4 names' in unread(found)[0]['message']


def test_a_volume_of_nerdctl_whose_data_cannot_be_looked_at_is_not_called_missing(tmp_path, monkeypatch):
    put(tmp_path, DATA + '/volumes/default/data/_data/file', 'x')
    node(tmp_path, (b'a' * 64, entry({'nerdctl/name': 'web', 'nerdctl/mounts': json.dumps([])}, {})), namespace=b'default')
    real = safeio.Dir.stat

    def stat(self, name):
        if name == b'_data':
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, name)
    monkeypatch.setattr(safeio.Dir, 'stat', stat)
    volume, = facts(tmp_path)['volumes']
    assert volume['status'] == 'lost' and 'cannot be read' in volume['problems'][0]['message']


def test_the_database_of_the_cluster(tmp_path, monkeypatch):
    """A folder on the way to it, and its log of newest changes."""
    put(tmp_path, '/var/lib/rancher/k3s/server/db/state.db', 'x')
    real = HostRoot.resolve

    def resolve(self, path):
        if path.endswith(b'state.db'):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, path)
    monkeypatch.setattr(HostRoot, 'resolve', resolve)
    dummy, problems = cluster.load(HostRoot(os.fsencode(str(tmp_path))), (b'/var/lib/rancher/k3s/server/db/state.db',))
    assert [item.code for item in problems] == ['CLUSTER_DB_UNREAD'] and 'Input/output' in problems[0].message
    monkeypatch.undo()
    for name in (b'/none', b'/none/below', b'/var/lib/rancher/k3s/server/db/state.db/below'):
        assert cluster.load(HostRoot(os.fsencode(str(tmp_path))), (name,))[1] == []


def test_the_tool_does_not_call_that_whole():
    problem = {'severity': 'warning', 'loses_data': True}
    assert rescue.status({'bundles': [{'status': 'complete'}], 'problems': [problem]}) == 1
    assert rescue.status({'bundles': [{'status': 'complete'}], 'problems': [dict(problem, loses_data=False)]}) == 0


@pytest.mark.parametrize('number', [errno.EIO, errno.EACCES])
@pytest.mark.parametrize('end', ['/docker/containers', '/docker/volumes', '/docker/image', 'imagedb/content/sha256'])
def test_of_docker(tmp_path, broken, end, number):
    deadroot.build(str(tmp_path / 'var/lib/docker'), host_root=str(tmp_path), rich=False)
    assert not unread(facts(tmp_path))
    broken(end, number)
    found = facts(tmp_path)
    told = [item for item in found['problems'] if item['code'] in ('READ_ERROR', 'DATA_ROOT_UNREADABLE')]
    assert len(told) == 1 and told[0]['loses_data'] and (end in told[0]['message'] or told[0]['code'] == 'DATA_ROOT_UNREADABLE')

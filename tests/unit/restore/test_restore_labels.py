"""Labels of SELinux on what is restored."""
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.restore import folders, labels, plan as planning
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes

SELINUX = {'SecurityOptions': ['name=seccomp,profile=default', 'name=selinux']}
OWN = {'uid': os.geteuid(), 'gid': os.getegid()}


@pytest.mark.parametrize('recorded, wanted', [
    (b'system_u:object_r:container_file_t:s0\0', b'system_u:object_r:container_file_t:s0\0'),
    (b'unconfined_u:object_r:container_file_t:s0:c1,c2\0', b'system_u:object_r:container_file_t:s0\0'),
    (b'system_u:object_r:svirt_sandbox_file_t', b'system_u:object_r:svirt_sandbox_file_t:s0\0'),
    (b'system_u:object_r:shadow_t:s0\0', None), (b'container_file_t', None), (b'', None), (b'\xff:\xff:container_file_t\xff', None)])
def test_only_labels_of_containers_are_kept_and_they_are_made_anew(recorded, wanted):
    assert labels.of_containers(recorded) == wanted


def test_volumes_are_labelled_by_an_engine_with_selinux():
    binds = ['v:/v:nocopy', 'w:/w:ro,nocopy', 'x:/x:Z,nocopy', 'y:/y:z', '/srv:/srv', '/data:/data:ro', '/anonymous']
    body = {'Image': 'i', 'HostConfig': {'Binds': binds}}
    assert labels.relabelled(body, SELINUX)['HostConfig']['Binds'] == [
        'v:/v:nocopy,z', 'w:/w:ro,nocopy,z', 'x:/x:Z,nocopy', 'y:/y:z', '/srv:/srv', '/data:/data:ro', '/anonymous']
    assert body['HostConfig']['Binds'] == binds
    for info in ({}, {'SecurityOptions': None}, {'SecurityOptions': ['name=apparmor']}):
        assert labels.relabelled(body, info) is body


def labelled(name, label):
    info, data = member(name, b'x', **OWN)
    info.pax_headers = {'SCHILY.xattr.security.selinux': label}
    return info, data


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can set labels')
@pytest.mark.parametrize('selinux', [True, False])
def test_a_folder_has_the_labels_of_containers_where_there_is_selinux(selinux, tmp_path, monkeypatch):
    monkeypatch.setattr(labels, 'ENFORCE', str(tmp_path) if selinux else str(tmp_path / 'no'))
    archive = tar_bytes([ROOT, labelled('./hand', 'system_u:object_r:container_file_t:s0:c1,c2'),
                         labelled('./other', 'system_u:object_r:shadow_t:s0')])
    path = make_bundle(tmp_path / 'bundle', {'volumes/data.tar': archive})
    folders.restore(planning.Options(path, restore=('volumes',), target='directory', dest=os.fsencode(str(tmp_path / 'out'))))
    made = tmp_path / 'out' / 'volumes' / 'data'
    assert (made / 'hand').read_bytes() == (made / 'other').read_bytes() == b'x'
    found = {name: os.getxattr(str(made / name), 'security.selinux') for name in ('hand', 'other') if 'security.selinux' in os.listxattr(str(made / name))}
    assert found == ({'hand': b'system_u:object_r:container_file_t:s0\0'} if selinux else {})

"""Which control group is a container's own. Freezing for real is in tests/delivery."""
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import quiesce

ID = 'ab' * 32


@pytest.fixture
def tell(tmp_path, monkeypatch):
    """tell(lines of the container's cgroup file, own=..., mounts=[(root, point name, type, options)])"""
    def make(lines, own='0::/init.scope', mounts=(('/', 'unified', 'cgroup2', 'rw'), ('/', 'freezer', 'cgroup', 'rw,freezer'))):
        table = ''.join('30 20 0:26 %s %s rw - %s cgroup %s\n' % (root, tmp_path / point, kind, options) for root, point, kind, options in mounts)
        whole = quiesce._read

        def read(folder, name):
            folder = os.fsencode(folder)
            if folder == b'/proc/self' and name == b'mountinfo':
                return table.encode()
            if folder == b'/proc/self':
                return own.encode()
            if folder == b'/proc/42':
                return lines.encode()
            return whole(folder, name)
        monkeypatch.setattr(quiesce, '_read', read)
    return make


def group(tmp_path, point, inner, **files):
    folder = tmp_path / point / inner.strip('/')
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace('_', '.')).write_text(text)
    return os.fsencode(str(folder))


V2 = {'cgroup_events': 'populated 1\nfrozen 0\n', 'cgroup_freeze': '0'}
V1 = {'freezer_state': 'THAWED\n'}


@pytest.mark.parametrize('path', ['/docker/' + ID, '/system.slice/docker-%s.scope' % ID, '/my/parent/' + ID])
def test_both_hierarchies_and_both_drivers(tell, tmp_path, path):
    tell('0::%s\n' % path)
    folder = group(tmp_path, 'unified', path, **V2)
    assert quiesce.find(42, ID) == quiesce.Group(2, folder)
    tell('9:freezer:%s\n0::/\n' % path)
    folder = group(tmp_path, 'freezer', path, **V1)
    assert quiesce.find(42, ID) == quiesce.Group(1, folder)


def test_a_group_inside_the_container_is_frozen_with_all_of_it(tell, tmp_path):
    tell('0::/docker/%s/inner/deep\n' % ID)
    folder = group(tmp_path, 'unified', '/docker/' + ID, **V2)
    assert quiesce.find(42, ID).folder == folder


def test_mounted_from_a_lower_root(tell, tmp_path):
    tell('0::/outer/docker/%s\n' % ID, mounts=[('/outer', 'unified', 'cgroup2', 'rw')])
    folder = group(tmp_path, 'unified', '/docker/' + ID, **V2)
    assert quiesce.find(42, ID).folder == folder


@pytest.mark.parametrize('lines, own', [
    ('0::/\n', '0::/'), ('', ''), ('0::/docker\n', '0::/x'), ('0::/docker/%s\n' % ('cd' * 32), '0::/x'),
    ('0::/../docker/%s\n' % ID, '0::/x'), ('0::/docker/%s\n' % ID, '0::/docker/%s/me' % ID), ('9:memory:/docker/%s\n' % ID, ''),
    ('0::/docker/%s\n' % ID, '0::/x'),          # no such folder
])
def test_refused(tell, lines, own):
    tell(lines, own)
    with pytest.raises(quiesce.NotFrozen):
        quiesce.find(42, ID)


def test_no_such_process():
    with pytest.raises(quiesce.NotFrozen):
        quiesce.find(2 ** 22 + 7, ID)

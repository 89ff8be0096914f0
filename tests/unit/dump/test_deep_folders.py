"""Folders far deeper than any path can name: a container makes them in a second, and what works on them neither ends nor passes them over."""
import os
import stat
import subprocess

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import removal
from ansible_collections.lifeboat.docker.plugins.module_utils.dump import room, unpacked
from ansible_collections.lifeboat.docker.plugins.module_utils.repair import whole

LEVELS = 1500
NAME = b'd' * 20


@pytest.fixture
def nest(tmp_path):
    """A folder with LEVELS others in each other, and a whiteout in the lowest; lowest(nest) opens that."""
    top = os.fsencode(str(tmp_path / 'nest'))
    os.mkdir(top)
    fd = os.open(top, os.O_RDONLY)
    for dummy in range(LEVELS):
        os.mkdir(NAME, dir_fd=fd)
        below = os.open(NAME, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open(b'.wh.gone', os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    yield top
    # shutil.rmtree of old Pythons does not come down there
    subprocess.check_call(['rm', '-rf', str(tmp_path)])


def lowest(nest):
    fd = os.open(nest, os.O_RDONLY)
    for dummy in range(LEVELS):
        below = os.open(NAME, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd


def test_every_folder_is_visited_once(nest):
    before = len(os.listdir('/proc/self/fd'))
    assert sum(1 for dummy in removal.folders(nest)) == LEVELS + 1
    assert len(os.listdir('/proc/self/fd')) <= before + 10


def test_data_of_root_are_given_away(nest, monkeypatch):
    given = []
    monkeypatch.setattr(room.os, 'chown', lambda place, *dummy, **more: given.append(place))
    room._give(nest)
    assert len(given) >= (LEVELS + 1 if os.geteuid() == 0 else 1)


@pytest.mark.parametrize('mark', [
    lambda top: unpacked._mark(top, os.geteuid() == 0), lambda top: (whole._mark(top), whole._flush(top))], ids=['bundle', 'donor'])
def test_what_a_layer_hides_is_marked(nest, mark):
    if os.geteuid() != 0:
        pytest.skip('device nodes are made by root')
    mark(nest)
    fd = lowest(nest)
    try:
        assert os.listdir(fd) == ['gone'] and stat.S_ISCHR(os.stat('gone', dir_fd=fd).st_mode)
    finally:
        os.close(fd)

# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a path of a rescued disk: no link on the way is followed."""
import os
import socket
import stat

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import safeio


@pytest.fixture
def disk(tmp_path):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder/file').write_bytes(b'123')
    (tmp_path / 'link').symlink_to('folder')
    (tmp_path / 'nowhere').symlink_to('gone')
    os.mkfifo(str(tmp_path / 'fifo'))
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / 'socket'))
    return os.fsencode(str(tmp_path))


@pytest.mark.parametrize('name, kind', [
    (b'folder', stat.S_IFDIR), (b'folder/', stat.S_IFDIR), (b'folder/./file', stat.S_IFREG), (b'link', stat.S_IFLNK),
    (b'nowhere', stat.S_IFLNK), (b'fifo', stat.S_IFIFO), (b'socket', stat.S_IFSOCK), (b'gone', 0), (b'folder/file/x', 0),
    (b'link/file', 0), (b'folder/../folder', 0), (b'a\0b', 0), (b'x' * 300, 0)])
def test_what_a_path_is(disk, name, kind):
    path = disk + b'/' + name
    assert safeio.kind(path) == kind
    assert safeio.is_folder(path) == (kind == stat.S_IFDIR)
    assert safeio.is_file(path) == (kind == stat.S_IFREG)


def test_it_says_what_lstat_says(disk):
    assert safeio.lstat(disk + b'/folder/file') == os.lstat(disk + b'/folder/file')
    assert safeio.lstat(disk + b'/link') == os.lstat(disk + b'/link')


def test_no_link_on_the_way(disk):
    with pytest.raises(NotADirectoryError) as told:
        safeio.lstat(disk + b'/link/file')
    assert told.value.filename == disk + b'/link/file'


def test_it_leaves_no_descriptor_open(disk):
    before = os.listdir('/proc/self/fd')
    for name in (b'folder/file', b'link/file', b'gone', b'folder/file/x'):
        safeio.kind(disk + b'/' + name)
    assert os.listdir('/proc/self/fd') == before


def test_no_path_is_nothing():
    assert safeio.kind(None) == 0
    assert not safeio.is_folder(b'folder')

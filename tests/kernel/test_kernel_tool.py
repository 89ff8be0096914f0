"""The built tool against the kernel: a destination without room, and the mount that it prints."""
import contextlib
import os
import subprocess
import sys

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import deadroot
import pyz


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """(tool, host root, deadroot.Expected); the container web has a file of 3 MiB."""
    tmp = tmp_path_factory.mktemp('tool')
    host = str(tmp / 'host')
    expected = deadroot.build(os.path.join(host, 'var/lib/docker'), host_root=host)
    with open(os.path.join(expected.container('web').upper, b'srv/large'), 'wb') as out:
        out.write(os.urandom(3 << 20))
    return pyz.pyz(str(tmp), 1000000000), host, expected


def run(place, *words, **options):
    return subprocess.run([sys.executable, '-I', place[0], '--host-root', place[1]] + list(words), stderr=subprocess.PIPE,
                          stdout=options.pop('stdout', subprocess.PIPE), check=False, **options)


@contextlib.contextmanager
def small_disk(point):
    """A mounted tmpfs of 1 MiB."""
    os.makedirs(point, exist_ok=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', point], check=True)
    try:
        yield point
    finally:
        subprocess.run(['umount', point], check=True)


def test_a_destination_without_room(place, tmp_path):
    with small_disk(str(tmp_path / 'small')) as point:
        done = run(place, 'cp', 'web:/srv', point)
        assert done.returncode == 2 and b'No space left on device' in done.stderr and done.stderr.count(b'\n') == 1, done.stderr
        assert not os.path.exists(os.path.join(point, 'srv'))
        # then there is room, and the same command goes on
        subprocess.run(['mount', '-o', 'remount,size=16m', point], check=True)
        done = run(place, '--json', 'cp', 'web:/srv', point)
        assert done.returncode == 0, done.stderr
        with open(os.path.join(point, 'srv', 'large'), 'rb') as copied, \
                open(os.path.join(place[2].container('web').upper, b'srv/large'), 'rb') as source:
            assert copied.read() == source.read()
        assert os.listdir(point) == ['srv']


def test_a_file_and_an_archive_without_room(place, tmp_path):
    with small_disk(str(tmp_path / 'small')) as point:
        done = run(place, 'cp', 'web:/srv/large', point)
        assert done.returncode == 2 and os.listdir(point) == [], done.stderr
        with open(os.path.join(point, 'x.tar'), 'wb') as out:
            done = run(place, 'tar', 'web', stdout=out)
        assert done.returncode == 2 and b'No space left on device' in done.stderr


def test_a_rescue_without_room_is_refused_with_the_sizes(place, tmp_path):
    with small_disk(str(tmp_path / 'small')) as point:
        done = run(place, 'rescue', os.path.join(point, 'out'))
        assert done.returncode == 2 and b'free, and this rescue needs at least' in done.stderr
        assert os.listdir(point) == []


def test_the_mount_shows_what_ls_lists_and_cannot_be_written(place, tmp_path):
    point = str(tmp_path / 'mounted')
    done = run(place, 'mount', 'web', point, '--do')
    assert done.returncode == 0, done.stderr
    try:
        there = {os.path.join(b'/', os.path.relpath(os.path.join(folder, name), os.fsencode(point)))
                 for folder, folders, names in os.walk(os.fsencode(point)) for name in folders + names}
        with pytest.raises(OSError):
            open(os.path.join(point, 'new'), 'w')
    finally:
        subprocess.run(['umount', point], check=True)
    assert set(run(place, 'find', 'web', '--no-mounts', '-print0').stdout.split(b'\0')[:-1]) == there


def test_many_layers_are_mounted_from_their_folder(tmp_path):
    """More bytes of options than mount(2) takes: the printed command goes into the folder of the layers first."""
    host, point = str(tmp_path / 'host'), str(tmp_path / 'mounted')
    deadroot.build(os.path.join(host, 'var/lib/docker'), host_root=host, layers=40, containers=1)
    where = (pyz.pyz(str(tmp_path), 1000000000), host)
    os.makedirs(point)
    line = run(where, 'mount', 'web', point).stdout.decode()
    assert line.startswith('cd ')
    subprocess.run(['sh', '-c', line], check=True)
    try:
        assert os.path.exists(os.path.join(point, '.dockerenv'))
    finally:
        subprocess.run(['umount', point], check=True)

"""Layers on thin devices: what a hostile disk records leads nowhere, and what was begun is written down and undone."""
import os
import struct

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import (
    commands,
    export,
    release,
    session,
    state,
    thin,
)
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.api import ThinDevice, ThinPool

NAME = b'a' * 64


def head(magic=thin.MAGIC, block=128):
    raw = bytearray(4096)
    struct.pack_into('<Q', raw, 32, magic)
    struct.pack_into('<I', raw, 336, block)
    return bytes(raw)


@pytest.fixture(name='place')
def attachment(tmp_path, monkeypatch):
    """(session, the folder of the attachment) with commands that are only remembered."""
    monkeypatch.setattr(commands.Commands, 'run', lambda self, words, **options: self.steps.append(' '.join(words)) or '')
    monkeypatch.setattr(export, 'can_overlay', lambda: True)
    with state.held(str(tmp_path / 'scratch'), 'abc') as mine:
        yield session.Session(session.Request(('/disk',), attach_layers=True), mine), mine.folder


def pool(folder, **other):
    folder = os.fsencode(folder)
    return ThinPool(**dict({'folder': folder + b'/host0/mnt', 'data': folder + b'/host0/data', 'metadata': folder + b'/host0/metadata',
                            'devices': (ThinDevice(NAME, 7, 1 << 30),)}, **other))


@pytest.mark.parametrize('raw', [b'', b'x' * 100, head(magic=1), head(block=0), head(block=100), head(block=1 << 31)])
def test_what_is_no_metadata_of_a_pool_is_refused(raw, tmp_path):
    (tmp_path / 'metadata').write_bytes(raw)
    with pytest.raises(LifeboatError):
        thin.block_size(str(tmp_path / 'metadata'))


def test_the_size_of_a_block_is_read(tmp_path):
    (tmp_path / 'metadata').write_bytes(head(block=1024))
    assert thin.block_size(str(tmp_path / 'metadata')) == 1024
    os.symlink('metadata', str(tmp_path / 'link'))
    with pytest.raises(OSError):
        thin.block_size(str(tmp_path / 'link'))


@pytest.mark.parametrize('which', ['mnt', 'data', 'metadata'])
def test_links_of_the_dead_host_lead_nowhere(which, place, tmp_path):
    mine, folder = place
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'file').write_bytes(head())
    host = os.path.join(folder, 'host0')
    os.makedirs(os.path.join(host, 'mnt'))
    for name in ('data', 'metadata'):
        with open(os.path.join(host, name), 'wb') as out:
            out.write(head())
    (os.rmdir if which == 'mnt' else os.unlink)(os.path.join(host, which))
    os.symlink(str(tmp_path / ('mine' if which == 'mnt' else 'mine/file')), os.path.join(host, which))
    with pytest.raises((LifeboatError, OSError)):
        thin._open(mine, pool(folder), os.path.join(host, 'mnt'))
    assert not any(str(tmp_path / 'mine') in step or step.startswith('mount -t') for step in mine.commands.steps)


def test_a_folder_outside_of_the_attachment_is_refused(place, tmp_path):
    mine, folder = place
    (tmp_path / 'other').mkdir()
    with pytest.raises(LifeboatError):
        thin._open(mine, pool(folder), str(tmp_path / 'other'))
    assert not mine.commands.steps


def test_a_device_is_written_down_before_it_is_made_and_undone(place, monkeypatch):
    mine, dummy = place
    node = thin._create(mine, 'layer', '0 8 thin /dev/mapper/pool 7')
    assert node == '/dev/mapper/lifeboat-abc-layer0'
    assert state.State(mine.state.folder).actions == [{'kind': 'dm', 'name': 'lifeboat-abc-layer0'}]
    mine.state.begin(kind='dm', name='somebody-elses')
    done = commands.Commands()
    release.release(mine.state, done)
    assert done.steps == ['dmsetup info lifeboat-abc-layer0', 'dmsetup remove --retry lifeboat-abc-layer0']


def test_without_overlays_nothing_is_done(place, monkeypatch):
    mine, folder = place
    monkeypatch.setattr(export, 'can_overlay', lambda: False)
    with pytest.raises(LifeboatError) as raised:
        thin._open(mine, pool(folder), folder)
    assert 'qemu-img' in str(raised.value) and not mine.state.actions


def test_a_pool_of_lvm_that_is_not_there_is_said(place):
    mine, folder = place
    os.makedirs(os.path.join(folder, 'host0/mnt'))
    with pytest.raises(LifeboatError) as raised:
        thin._open(mine, pool(folder, data=b'', metadata=b''), os.path.join(folder, 'host0/mnt'))
    assert 'LVM' in str(raised.value)

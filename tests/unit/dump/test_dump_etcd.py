"""The snapshot of a dead etcd, and what is said where something is not in it."""
import json
import os

import deadetcd
import pytest
from deadetcd import put

from ansible_collections.lifeboat.docker.plugins.module_utils.dump.kinds import etcd
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import boltdb, etcdstate


@pytest.fixture
def recover(tmp_path, monkeypatch):
    """What is found in a folder, and the state in the snapshot."""
    monkeypatch.setattr(etcd, 'FOUND', os.fsencode(str(tmp_path / 'found.json')))

    def work(tree, log=None, change=lambda top: None, count=True):
        top = deadetcd.folder(str(tmp_path / 'data'), tree, log)
        change(top)
        etcd._recover(os.fsencode(top), os.fsencode(str(tmp_path / 'out.db')), count)
        return json.loads((tmp_path / 'found.json').read_text()), etcdstate.State(boltdb.open_db((tmp_path / 'out.db').read_bytes()))
    return work


def test_file_and_log_are_one(recover):
    found, state = recover(deadetcd.buckets(), deadetcd.Log().entries(put('d', 'x'), put('e', 'x')))
    assert found['counts'] == {'keys': 4} and found['partial'] == [] and found['version'] == '3.4.0'
    assert found['marks'] == ['2 entries of the write-ahead log are in it, beyond those that its file has', 'revision 7'] and b'e' in state.keys


def test_without_a_log_it_is_not_whole(recover):
    found, dummy = recover(deadetcd.buckets())
    assert found['counts'] == {'keys': 2} and len(found['partial']) == 1 and 'write-ahead log is not in its folder' in found['partial'][0]


def test_a_damaged_log_is_said(recover):
    def damage(top):
        path = os.path.join(top, 'member/wal/%016x-%016x.wal' % (0, 0))
        with open(path, 'r+b') as raw:
            raw.seek(60)
            raw.write(b'\xff\xff\xff')
    found, dummy = recover(deadetcd.buckets(), deadetcd.Log().entries(put('d', 'x' * 99), put('e', 'x')), damage)
    assert any('damaged' in sentence for sentence in found['partial'])


def test_of_several_members_others_may_know_more(recover):
    found, dummy = recover(deadetcd.buckets(members=3), deadetcd.Log().entries(put('d', 'x')))
    assert found['partial'] == [] and 'one of 3 members; another one may know more' in found['marks']


def test_keys_of_version_2_are_named(recover):
    def snapshot(top):
        with open(os.path.join(top, 'member/snap/%016x-%016x.snap' % (2, 5)), 'wb') as out:
            out.write(b'....{"Root":{"Children":{"1":{"Path":"/1","Children":{"k":{"Path":"/1/k"}}}}}}')
    found, dummy = recover(deadetcd.buckets(), deadetcd.Log(), snapshot)
    assert found['partial'] == ['keys of the API of version 2 are not in it']


@pytest.mark.parametrize('name', ['member/snap/db', 'member/wal/%016x-%016x.wal' % (0, 0)])
@pytest.mark.parametrize('other', ['link', 'fifo'])
def test_only_regular_files_are_opened(recover, tmp_path, name, other):
    (tmp_path / 'elsewhere').write_bytes(b'')

    def change(top):
        os.unlink(os.path.join(top, name))
        (os.symlink(str(tmp_path / 'elsewhere'), os.path.join(top, name)) if other == 'link' else os.mkfifo(os.path.join(top, name)))
    with pytest.raises((OSError, ValueError)):
        recover(deadetcd.buckets(), deadetcd.Log(), change)

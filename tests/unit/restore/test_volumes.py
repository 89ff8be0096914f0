"""What goes to an engine as a stream, and how the way is chosen."""
import io
import os
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive.tarread import ArchiveError
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import volumes
from ansible_collections.lifeboat.docker.tests.unit.archive.test_unpack import HOSTILE, sparse
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, member, tar_bytes

OWN = {'uid': os.geteuid(), 'gid': os.getegid()}
ONLY_FILE_SYSTEM = {'over a link', 'folder over a link', 'hard link to nothing', 'file as a folder', 'same file twice',
                    'without its folder'}


def passing(raw, folder, **options):
    return volumes.Passing(io.BytesIO(raw), 'v.tar', os.fsencode(str(folder)), **options)


def test_what_passes_is_the_archive(tmp_path):
    raw = tar_bytes([ROOT, member('./a', b'x' * 3000000), member('./b', b'y')])
    made = passing(raw, tmp_path)
    out = b''.join(made)
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        assert [info.name for info in tar] == ['.', './a', './b']
        assert tar.extractfile('./a').read() == b'x' * 3000000
    assert (made.files, made.bytes) == (2, 3000001)
    # the likeness for the search for databases
    assert (tmp_path / 'a').stat().st_size == 3000000 and (tmp_path / 'a').read_bytes()[:5] == b'xxxxx'


@pytest.mark.parametrize('case', sorted(set(HOSTILE) - ONLY_FILE_SYSTEM))
def test_nothing_of_a_hostile_member_passes(case, tmp_path):
    raw, reason = HOSTILE[case]
    made = passing(raw, tmp_path)
    out = b''
    with pytest.raises(ArchiveError) as caught:
        for piece in made:
            out += piece
    assert reason in str(caught.value)
    # a link that leads out is harmless as long as nothing goes through it
    assert not any(word in out for word in (b'passwd', b'secret'))


def test_what_stands_behind_the_end_does_not_pass(tmp_path):
    raw = tar_bytes([ROOT, member('./a', b'x')])
    out = b''.join(passing(raw + tar_bytes([member('/etc/passwd', b'x')]), tmp_path))
    assert b'passwd' not in out and out.endswith(bytes(1024))


def test_holes_are_counted_and_limited(tmp_path):
    raw = tar_bytes([ROOT, sparse([b'1', b'0', b'2'], b'%d' % (1 << 40), b'ab')])
    made = passing(raw, tmp_path)
    b''.join(made)
    assert (made.sparse, made.holes) == (1, (1 << 40) - 2)
    with pytest.raises(ArchiveError) as caught:
        b''.join(passing(raw, tmp_path / 'x', max_holes=1 << 30) if (tmp_path / 'x').mkdir() is None else ())
    assert 'holes' in str(caught.value)


class Engine(object):
    """An engine whose volumes lie below FOLDER, or are said to lie there."""
    docker_host = 'unix:///s'
    podman = False

    def __init__(self, folder, real=True, peer=None):
        self.folder = str(folder)
        self.real = real
        self.made = []
        self.pid = peer

    def peer(self):
        return self.pid

    def create_volume(self, name, *dummy, **dummies):
        self.made.append(name)
        place = os.path.join(self.folder, name, '_data')
        if self.real:
            os.makedirs(place)
        return {'Name': name, 'Driver': 'local', 'Mountpoint': place}

    def remove(self, path, *dummy):
        self.made.remove(path.rsplit('/', 1)[1])

    def request(self, *dummy):
        return {'Volumes': [{'Name': name, 'Driver': 'local', 'Mountpoint': os.path.join(self.folder, name, '_data')}
                            for name in self.made]}


@pytest.fixture(autouse=True)
def as_root(monkeypatch):
    monkeypatch.setattr(os, 'geteuid', lambda: 0)


def test_direct_only_if_a_new_volume_appears_here(tmp_path):
    engine = Engine(tmp_path)
    assert volumes.Volumes(engine, {}).way()[0] == 'direct' and engine.made == []
    assert volumes.Volumes(Engine(tmp_path, real=False), {}).way()[0] == 'api'


def test_below_the_root_of_the_process_behind_the_socket(tmp_path):
    """/proc/PID/root is what an engine in another mount namespace sees as '/'."""
    engine = Engine(tmp_path, peer=os.getpid())
    access = volumes.Volumes(engine, {})
    real = volumes._is_ours
    try:
        volumes._is_ours = lambda place: place.startswith('/proc/') and real(place)
        assert access.way()[0] == 'direct'
    finally:
        volumes._is_ours = real
    assert access.place({'Mountpoint': '/x'}) == b'/proc/%d/root/x' % os.getpid()


@pytest.mark.parametrize('info, host', [
    ({'SecurityOptions': ['name=userns']}, None), ({'SecurityOptions': ['name=rootless']}, None), ({'Rootless': True}, None), ({}, 'tcp://h:1')])
def test_api_where_owners_are_shifted_or_the_engine_is_far(tmp_path, info, host):
    engine = Engine(tmp_path)
    engine.docker_host = host or engine.docker_host
    assert volumes.Volumes(engine, info).way()[0] == 'api' and engine.made == []


def test_api_for_volumes_that_are_no_plain_folder(tmp_path):
    engine = Engine(tmp_path)
    plain = engine.create_volume('v')
    access = volumes.Volumes(engine, {})
    assert access.way(plain)[0] == 'direct'
    assert access.way(dict(plain, Options={'type': 'nfs'}))[0] == 'api'
    assert access.way(dict(plain, Driver='rexray'))[0] == 'api'
    assert access.way(dict(plain, Mountpoint='/nowhere'))[0] == 'api'


def test_not_root(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    assert volumes.Volumes(Engine(tmp_path), {}).way()[0] == 'api'


def test_check_mode_makes_nothing(tmp_path):
    engine = Engine(tmp_path)
    assert volumes.Volumes(engine, {}, passive=True).way()[0] is None
    engine.create_volume('v')
    assert volumes.Volumes(engine, {}, passive=True).way()[0] == 'direct'
    (tmp_path / 'of-another-engine').mkdir()
    assert volumes.Volumes(engine, {}, passive=True).way()[0] == 'api'
    assert engine.made == ['v']


def test_filling_is_marked_until_it_is_done(tmp_path):
    engine = Engine(tmp_path)
    volume = engine.create_volume('v')
    access = volumes.Volumes(engine, {})
    good = tar_bytes([member('./', **OWN), member('./a', b'x', **OWN)])
    with pytest.raises(ArchiveError):
        access.fill(volume, io.BytesIO(good[:1024]), 'v.tar', 'd' * 64)
    assert access.unfinished(volume)
    access.empty(volume)
    assert access.content(volume) == []
    access.fill(volume, io.BytesIO(good), 'v.tar', 'd' * 64)
    assert not access.unfinished(volume) and access.restored_from(volume) == 'd' * 64 and access.content(volume) == ['a']


def test_old_content_goes_aside_and_comes_back(tmp_path):
    engine = Engine(tmp_path)
    volume = engine.create_volume('v')
    (tmp_path / 'v' / '_data' / 'old').write_bytes(b'x')
    access = volumes.Volumes(engine, {})
    kept = access.set_aside(volume, 'd' * 64)
    assert access.content(volume) == []
    (tmp_path / 'v' / '_data' / 'new').write_bytes(b'x')
    kept.restore()
    assert access.content(volume) == ['old']
    kept = access.set_aside(volume, 'd' * 64)
    name = kept.keep()
    assert name.startswith('v-before-') and os.listdir(str(tmp_path / name / '_data')) == ['old']
    assert os.listdir(str(tmp_path / 'v')) == ['_data']


def test_check_mode_knows_a_folder_by_the_engines_id(tmp_path):
    engine, root = Engine(tmp_path / 'volumes'), tmp_path / 'root'
    root.mkdir()
    info = {'DockerRootDir': str(root), 'ID': 'one-of-a-kind'}
    assert volumes.Volumes(engine, info, passive=True).way()[0] is None
    (root / 'engine-id').write_text('another')
    assert volumes.Volumes(engine, info, passive=True).way()[0] is None
    (root / 'engine-id').write_text('one-of-a-kind\n')
    assert volumes.Volumes(engine, info, passive=True).way()[0] == 'direct' and engine.made == []
    for broken in ({}, {'DockerRootDir': 5, 'ID': []}, {'DockerRootDir': str(root), 'ID': ''}):
        assert volumes.Volumes(engine, broken, passive=True).way()[0] is None

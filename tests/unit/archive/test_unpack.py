import io
import os
import stat
import tarfile
import zlib

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import unpack
from ansible_collections.lifeboat.docker.plugins.module_utils.archive.tarread import ArchiveError, Reader
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, member, tar_bytes

ROOT_USER = os.geteuid() == 0


@pytest.fixture
def target(tmp_path):
    """A folder to unpack into, with something beside it that nobody may touch."""
    (tmp_path / 'outside').mkdir()
    (tmp_path / 'outside' / 'secret').write_bytes(b'untouched')
    (tmp_path / 'target').mkdir()
    return tmp_path / 'target'


def run(target, raw, **options):
    return unpack.unpack(io.BytesIO(raw), os.fsencode(str(target)), 'a.tar', **options)


def outside(target):
    """Everything beside the target, in a form that shows any change."""
    found = []
    for folder, dummy, names in os.walk(str(target.parent)):
        if folder.startswith(str(target)):
            continue
        for name in names:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            with open(path, 'rb') as handle:
                found.append((path, st.st_mode, st.st_mtime_ns, st.st_nlink, handle.read()))
    return sorted(found)


def link(name, where, kind=tarfile.SYMTYPE):
    return member(name, kind=kind, linkname=where)


def pax(name, data=b'x', **records):
    info, data = member(name, data)
    info.pax_headers = dict((key.replace('__', '.'), value) for key, value in records.items())
    return info, data


def headers(*members):
    return tar_bytes((ROOT,) + members)


def resummed(raw, at, data):
    """RAW with DATA at offset AT of its last-but-end header, and the checksum put right."""
    block = bytearray(raw[:512])
    block[at:at + len(data)] = data
    block[148:156] = b' ' * 8
    block[148:156] = b'%06o\0 ' % sum(block)
    return bytes(block) + raw[512:]


def raw_extended(payload, size=None):
    """A PAX header with exactly this payload before an innocent file."""
    info = tarfile.TarInfo('x')
    info.type, info.size = b'x', len(payload) if size is None else size
    return info.tobuf(tarfile.USTAR_FORMAT) + payload + bytes(-len(payload) % 512) + headers(member('./a', b'x'))


def sparse(lines, realsize=b'100', data=b'', major='1'):
    """A member in GNU sparse format 1.0 with this map."""
    text = b''.join(line + b'\n' for line in lines)
    text += bytes(-len(text) % 512)
    return pax('./GNUSparseFile.0/s', text + data, GNU__sparse__major=major, GNU__sparse__minor='0',
               GNU__sparse__name='./s', GNU__sparse__realsize=realsize.decode())


HOSTILE = {
    'absolute name': (headers(member('/etc/passwd', b'x')), 'leave its folder'),
    'absolute name in an extended header': (headers(pax('a', path='/tmp/x')), 'leave its folder'),
    'dot dot': (headers(member('../outside/secret', b'x')), 'leave its folder'),
    'dot dot in the middle': (headers(member('./d/'), member('./d/../../outside/new', b'x')), 'leave its folder'),
    'dot dot as a folder': (headers(member('./..', kind=tarfile.DIRTYPE)), 'leave its folder'),
    'through a link': (headers(link('./l', '../outside'), member('./l/secret', b'x')), 'link'),
    'through a link in the middle': (headers(member('./d/'), link('./d/l', '/tmp'), member('./d/l/x/y', b'x')), 'link'),
    'over a link': (headers(link('./l', '../outside/secret'), member('./l', b'x')), 'twice'),
    'folder over a link': (headers(link('./l', '../outside'), member('./l/')), 'twice'),
    'hard link outside': (headers(link('./h', '../outside/secret', tarfile.LNKTYPE)), 'leaves its folder'),
    'hard link to an absolute path': (headers(link('./h', '/etc/passwd', tarfile.LNKTYPE)), 'leaves its folder'),
    'hard link through a link': (headers(link('./l', '../outside'), link('./h', 'l/secret', tarfile.LNKTYPE)), 'link'),
    'hard link to nothing': (headers(link('./h', 'gone', tarfile.LNKTYPE)), 'not there'),
    'file as a folder': (headers(member('./f', b'x'), member('./f/g', b'x')), 'a path through'),
    'block device': (headers(member('./sda', kind=tarfile.BLKTYPE, devmajor=8, devminor=0)), 'device node'),
    'character device': (headers(member('./mem', kind=tarfile.CHRTYPE, devmajor=1, devminor=1)), 'device node'),
    'same file twice': (headers(member('./f', b'x'), member('./f', b'y')), 'twice'),
    'without its folder': (headers(member('./d/f', b'x')), 'before its folder'),
    'name with NUL': (headers(pax('a', path='a\0b')), 'leave its folder'),
    'empty name': (headers(member('', b'x')), 'no name'),
    'unknown type': (headers(member('./v', kind=b'V')), 'type'),
    'old sparse type': (headers(member('./v', kind=tarfile.GNUTYPE_SPARSE)), 'type'),
    'damaged header': (headers(member('./a', b'x'))[:600] + b'\xff' + headers(member('./a', b'x'))[601:], 'checksum'),
    'cut in a file': (headers(member('./a', b'x' * 5000))[:2048], 'middle'),
    'cut between members': (headers(member('./a', b'x'))[:1536], 'end mark'),
    'cut after an extended header': (raw_extended(b'30 mtime=1600000000.123456789\n')[:1024] + bytes(1024), 'middle'),
    'extended header of nonsense': (raw_extended(b'hello'), 'an invalid extended header'),
    'extended record longer than its header': (raw_extended(b'99 path=/x\n'), 'an invalid extended header'),
    'extended header of 1 GiB': (raw_extended(b'', 1 << 30), 'extended header of'),
    'size that is no number': (resummed(headers(member('./a', b'x')), 124, b'zzzzzzzzzzzz'), 'size'),
    'negative size': (resummed(headers(member('./a', b'x')), 124, b'\xff' * 12), 'size'),
    'owner that is no number': (resummed(tar_bytes([member('./a', b'x')]), 108, b'-1     \0'), 'owner'),
    'owner of all ones': (headers(pax('./a', uid='4294967295')), 'number'),
    'link with data': (resummed(tar_bytes([link('./l', 'x')]), 124, b'00000001000\0'), 'data'),
    'map of holes backwards': (headers(sparse([b'2', b'50', b'1', b'10', b'1'], data=b'ab')), 'map'),
    'map of holes beyond the end': (headers(sparse([b'1', b'99', b'2'], data=b'ab')), 'map'),
    'map of holes with too little data': (headers(sparse([b'1', b'0', b'50'], data=b'ab')), 'map'),
    'map of holes of letters': (headers(sparse([b'x'])), 'number'),
    'map of holes without end': (headers(sparse([b'9999999', b'1'])), 'number'),
    'unknown sparse version': (headers(sparse([b'0'], major='2')), 'unknown form'),
    'endless link': (headers(link('./l', 'x'), link('./l/l', 'x')), 'link'),
}


@pytest.mark.parametrize('case', sorted(HOSTILE))
def test_hostile_archive_is_refused_with_its_reason(case, target):
    raw, reason = HOSTILE[case]
    before = outside(target)
    with pytest.raises(ArchiveError) as caught:
        run(target, raw)
    assert reason in str(caught.value) and 'a.tar' in str(caught.value)
    assert outside(target) == before


@pytest.mark.parametrize('case', sorted(set(HOSTILE) - {
    # what only the file system can tell
    'hard link to nothing', 'same file twice'}))
def test_scan_refuses_the_same_without_writing(case):
    with pytest.raises(ArchiveError) as caught:
        unpack.scan(io.BytesIO(HOSTILE[case][0]), 'a.tar')
    assert HOSTILE[case][1] in str(caught.value)


def test_more_content_than_announced_is_refused(target):
    with pytest.raises(ArchiveError) as caught:
        run(target, headers(member('./a', b'x' * 10), member('./b', b'x' * 10)), limit=15)
    assert 'more content' in str(caught.value)
    with pytest.raises(ArchiveError):
        run(target, headers(sparse([b'1', b'0', b'2'], b'1000', b'ab')), limit=15)


def test_link_that_appears_while_unpacking_is_not_followed(target):
    """Somebody with access to the folder swaps a folder for a link between two members."""
    raw = headers(member('./d/'), member('./e/'), member('./d/f', b'x'))
    stream = io.BytesIO(raw)
    job = unpack._Job(Reader(stream, 'a.tar'), os.fsencode(str(target)))
    for item in job.reader:
        if item.name == b'd/f':
            os.rmdir(str(target / 'd'))
            os.symlink('../outside', str(target / 'd'))
            with pytest.raises(OSError):
                job.member(item)
        else:
            job.member(item)
    job.close()
    assert not (target.parent / 'outside' / 'f').exists()


def test_everything_comes_back(target):
    raw = tar_bytes([
        member('./', mode=0o2750, mtime=1500000000),
        member('./d/', mode=0o555), member('./d/f', b'data', mode=0o640), member('./empty', b''),
        link('./l', '/etc/nowhere'), link('./h', 'd/f', tarfile.LNKTYPE), member('./p', kind=tarfile.FIFOTYPE, mode=0o622),
        member('./s', b's', mode=0o4755), pax('./t', b'tt', mtime='1600000000.123456789'),
        pax('./neg', b'', mtime='-1.5'), pax(u'./gr\u00fc\u00df', b''), member('./big', b'x' * 300000),
        member('./%s/' % ('n' * 200))])
    done = run(target, raw)
    assert (done.entries, done.files, done.bytes, done.notes_total) == (13, 8, 4 + 1 + 2 + 300000, 0)
    assert (target / 'd' / 'f').read_bytes() == b'data' and (target / 'big').read_bytes() == b'x' * 300000
    assert os.stat(str(target / 'h')).st_ino == os.stat(str(target / 'd' / 'f')).st_ino
    assert os.readlink(str(target / 'l')) == '/etc/nowhere'
    modes = dict((name, stat.S_IMODE(os.lstat(str(target / name)).st_mode)) for name in ('d', 'd/f', 'p', 's', 'empty'))
    assert modes == {'d': 0o555, 'd/f': 0o640, 'p': 0o622, 's': 0o4755, 'empty': 0o644}
    assert os.lstat(str(target / 't')).st_mtime_ns == 1600000000123456789
    assert os.lstat(str(target / 'neg')).st_mtime_ns == -1500000000
    assert os.stat(str(target / 'd')).st_mtime == 1600000000
    assert (target / ('n' * 200)).is_dir() and (target / u'gr\u00fc\u00df').exists()
    if ROOT_USER:
        assert stat.S_IMODE(target.stat().st_mode) == 0o2750 and target.stat().st_mtime == 1500000000


@pytest.mark.skipif(not ROOT_USER, reason='owners and trusted attributes are for root')
def test_owners_attributes_and_capabilities(target):
    capability = b'\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
    acl = (b'\x02\0\0\0' b'\x01\0\x06\0\xff\xff\xff\xff' b'\x02\0\x04\0\x63\0\0\0' b'\x04\0\x04\0\xff\xff\xff\xff'
           b'\x10\0\x04\0\xff\xff\xff\xff' b'\x20\0\0\0\xff\xff\xff\xff')
    info, data = pax('./cap', b'x', **{
        'SCHILY__xattr__security__capability': capability.decode('utf-8', 'surrogateescape'),
        'SCHILY__xattr__user__a%3Db': 'v', 'SCHILY__xattr__security__selinux': 'old_host'})
    info.mode = 0o755
    folder, dummy = member('./d/', mode=0o750, uid=999, gid=998)
    folder.pax_headers = {'SCHILY.xattr.system.posix_acl_default': acl.decode('utf-8', 'surrogateescape'), 'SCHILY.xattr.trusted.t': '1'}
    big, data2 = pax('./ids', b'', uid='4000000000', gid='3000000')
    done = run(target, tar_bytes([ROOT, (info, data), (folder, None), member('./d/f', b'', uid=999, gid=998, mode=0o600),
                                  (big, data2), member('./l', kind=tarfile.SYMTYPE, linkname='x', uid=5, gid=6)]))
    assert done.notes == ()
    names = sorted(os.listxattr(str(target / 'cap')))
    assert names == ['security.capability', 'user.a=b']
    assert os.getxattr(str(target / 'cap'), 'security.capability')[:4] == capability[:4]
    assert os.getxattr(str(target / 'd'), 'trusted.t') == b'1'
    assert 'system.posix_acl_default' in os.listxattr(str(target / 'd'))
    # not handed down while unpacking
    assert os.listxattr(str(target / 'd' / 'f')) == [] and stat.S_IMODE(os.stat(str(target / 'd' / 'f')).st_mode) == 0o600
    assert [os.lstat(str(target / name)).st_uid for name in ('d', 'd/f', 'ids', 'l')] == [999, 999, 4000000000, 5]


@pytest.mark.skipif(not ROOT_USER, reason='owners are for root')
def test_owners_in_a_folder_that_hands_its_group_down(target):
    os.chown(str(target), 0, 50)
    os.chmod(str(target), 0o2755)
    owners = {'a': (0, 0), 'b': (0, 50), 'c': (7, 50), 'd/e': (0, 0), 'd/f': (7, 8), 'd/g': (0, 0), 'h': (0, 0)}
    run(target, tar_bytes([ROOT, member('./d/', mode=0o755)] + [
        member('./' + name, b'x', uid=uid, gid=gid) for name, (uid, gid) in owners.items()]))
    assert {name: os.stat(str(target / name))[4:6] for name in owners} == owners


def test_holes_stay_holes(target):
    size = 1 << 40
    done = run(target, headers(sparse([b'3', b'0', b'512', b'%d' % (1 << 30), b'512', b'%d' % size, b'0'],
                                      b'%d' % size, b'a' * 512 + b'b' * 512), member('./after', b'z')))
    st = os.stat(str(target / 's'))
    assert st.st_size == size and st.st_blocks * 512 < 1 << 20 and done.bytes == size + 1
    with open(str(target / 's'), 'rb') as handle:
        assert handle.read(513) == b'a' * 512 + b'\0'
        handle.seek(1 << 30)
        assert handle.read(513) == b'b' * 512 + b'\0'
    assert (target / 'after').read_bytes() == b'z'


def test_attributes_that_the_file_system_refuses_are_told(target, monkeypatch):
    def refuse(*dummy, **dummies):
        raise OSError(95, 'Operation not supported')
    monkeypatch.setattr(os, 'setxattr', refuse)
    done = run(target, headers(pax('./a', b'x', SCHILY__xattr__user__k='v')))
    assert done.notes_total == 1 and 'user.k' in done.notes[0]


def test_whiteout_of_a_docker_in_docker_volume_is_no_danger(target):
    if ROOT_USER:
        run(target, headers(member('./w', kind=tarfile.CHRTYPE, devmajor=0, devminor=0)))
        assert stat.S_ISCHR(os.stat(str(target / 'w')).st_mode)


def test_devices_are_left_out_for_who_may_make_none(target):
    done = run(target, headers(member('./null', kind=tarfile.CHRTYPE, devmajor=1, devminor=3), member('./sda', kind=tarfile.BLKTYPE, devmajor=8, devminor=0),
                               member('./pipe', kind=tarfile.FIFOTYPE)), leave_devices=True)
    assert os.listdir(str(target)) == ['pipe'] and done.notes_total == 2 and 'left out' in done.notes[0]


def test_devices_where_they_are_expected(target):
    if ROOT_USER:
        run(target, headers(member('./null', kind=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)), allow_devices=True)
        assert os.stat(str(target / 'null')).st_rdev == os.makedev(1, 3)


def test_long_names_in_every_form(target):
    name = './' + 'd' * 60 + '/' + 'f' * 150
    deep = [member('./' + 'd' * 60 + '/')]
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode='w', format=form) as tar:
            for info, data in [ROOT] + deep + [member(name, b'x'), link('./l%d' % form, 't' * 200)]:
                tar.addfile(info, io.BytesIO(data) if data is not None else None)
        place = target / str(form)
        place.mkdir()
        run(place, buffer.getvalue())
        assert (place / name).read_bytes() == b'x' and os.readlink(str(place / ('l%d' % form))) == 't' * 200


def test_very_deep_tree(target):
    deep = 300
    done = run(target, tar_bytes([ROOT] + [member('./' + 'd/' * count) for count in range(1, deep)] +
                                 [member('./' + 'd/' * (deep - 1) + 'f', b'x')]))
    assert done.entries == deep + 1


def test_umask_and_open_files_are_as_before(target):
    before = os.umask(0o027)
    try:
        count = len(os.listdir('/proc/self/fd'))
        run(target, headers(*[member('./d%d/' % number) for number in range(100)]))
        with pytest.raises(ArchiveError):
            run(target, headers(member('../x', b'')))
        assert len(os.listdir('/proc/self/fd')) == count
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_scan_counts():
    raw = headers(member('./a', b'xx'), sparse([b'1', b'0', b'2'], b'1000', b'ab'), link('./h', 'a', tarfile.LNKTYPE),
                  pax('./x', b'', SCHILY__xattr__user__k='v'))
    assert unpack.scan(io.BytesIO(raw), 'a.tar') == (5, 4, 1002, 1, 1, 0, ('a', 's', 'h', 'x'))


def test_stream_that_gives_little_at_a_time(target):
    class Slow(object):
        def __init__(self, raw):
            self.raw = io.BytesIO(raw)

        def read(self, dummy):
            return self.raw.read(7)
    raw = headers(member('./a', b'x' * 2000), member('./b', b'y'))
    unpack.unpack(Slow(raw), os.fsencode(str(target)))
    assert (target / 'a').read_bytes() == b'x' * 2000


def test_damage_after_the_end_mark_is_reported():
    class Damaged(object):
        def __init__(self, raw):
            self.raw = io.BytesIO(raw)

        def read(self, count):
            data = self.raw.read(count)
            if not data:
                raise zlib.error('damaged')
            return data
    with pytest.raises(zlib.error):
        list(Reader(Damaged(headers(member('./a', b'x')))))

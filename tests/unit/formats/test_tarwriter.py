"""What GNU tar, bsdtar and Python's tarfile make of our headers."""
import io
import os
import struct
import subprocess
import tarfile

import programs
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import tarwriter

GIB = 1 << 30
UTF8 = dict(os.environ, LC_ALL='C.UTF-8', TZ='UTC')
LONG = b'/'.join([b'a' * 60] * 6) + b'/file'


def header(name, kind=tarwriter.REGULAR, mode=0o644, uid=0, gid=0, size=0, mtime_ns=1700000000 * 10**9, **more):
    return tarwriter.header(name, kind, mode, uid, gid, size, mtime_ns, **more)


def member(name, data=b'', **more):
    return header(name, size=len(data), **more) + data + tarwriter.padding(len(data))


def read(raw):
    return tarfile.open(fileobj=io.BytesIO(raw + tarwriter.END))


def names_below(folder):
    found = []
    for base, folders, files in os.walk(os.fsencode(str(folder))):
        found += [os.path.relpath(os.path.join(base, name), os.fsencode(str(folder))) for name in folders + files]
    return sorted(found)


def extract(program, raw, folder, *options):
    """Extract with GNU tar or bsdtar; what it complained about."""
    programs.need(program)
    folder = str(folder)
    if not os.path.isdir(folder):
        os.mkdir(folder)
    # pylint: disable-next=subprocess-run-check
    run = subprocess.run([program, '-xp', '-f', '-', '-C', folder] + list(options), input=raw + tarwriter.END, env=UTF8,
                         stderr=subprocess.PIPE)
    assert run.returncode == 0, run.stderr
    return run.stderr


def with_tarfile(raw, folder):
    with read(raw) as archive:
        try:
            archive.extractall(str(folder), filter='fully_trusted')
        except TypeError:               # no filters before Python 3.11.4
            archive.extractall(str(folder))


NAMES = [b'plain', b'n' * 100, b'n' * 101, b'n' * 255, LONG, b'd' * 155 + b'/' + b'f' * 100,
         b'd' * 156 + b'/' + b'f' * 100, b'd' * 155 + b'/' + b'f' * 101, b'new\nline', b'back\\slash', b' ',
         '\u00fc\u4e2d'.encode(), '\u00fc'.encode() * 100, b'\xff\xfe', b'\xe9' * 200, b'd\xe9/' + b'\xe9' * 150,
         b'tab\t', b'a=b', b'12 path=x']


@pytest.mark.parametrize('name', NAMES, ids=range(len(NAMES)))
def test_names_are_read_alike(name, tmp_path):
    raw = member(name, b'data')
    assert len(raw) % 512 == 0
    found = read(raw).getmembers()
    assert [os.fsencode(info.name) for info in found] == [name] and found[0].isreg()
    expected = sorted(name[:at] for at in range(len(name)) if name[at:at + 1] == b'/') + [name]
    with_tarfile(raw, tmp_path / 'python')
    extract('tar', raw, tmp_path / 'gnu')
    extract('bsdtar', raw, tmp_path / 'bsd')
    for folder in ('python', 'gnu', 'bsd'):
        assert names_below(tmp_path / folder) == sorted(expected), folder
        with open(os.path.join(os.fsencode(str(tmp_path / folder)), name), 'rb') as handle:
            assert handle.read() == b'data'


@pytest.mark.parametrize('name', [b'f' * 99 + b'/', b'f' * 100 + b'/', b'd' * 120 + b'/' + b'f' * 98 + b'/',
                                  b'd' * 150 + b'/' + b'f' * 120 + b'/'], ids=range(4))
def test_folders_keep_their_slash(name, tmp_path):
    raw = header(name, tarwriter.FOLDER, mode=0o755)
    with read(raw) as archive:
        assert [(info.name, info.isdir()) for info in archive] == [(name.decode().rstrip('/'), True)]
    for program in ('tar', 'bsdtar'):
        extract(program, raw, tmp_path / program)
        assert os.path.isdir(os.path.join(os.fsencode(str(tmp_path / program)), name))


@pytest.mark.parametrize('target', [b'x', b'../../etc/shadow', b'/' + b't' * 99, b't' * 101, LONG, b'\xff',
                                    b'\xe9' * 200, b'new\nline'], ids=range(8))
def test_link_targets(target, tmp_path):
    raw = header(b'link', tarwriter.SYMLINK, mode=0o777, link=target)
    with read(raw) as archive:
        info = archive.next()
        assert info.issym() and os.fsencode(info.linkname) == target
    for program in ('tar', 'bsdtar'):
        extract(program, raw, tmp_path / program)
        assert os.readlink(os.path.join(os.fsencode(str(tmp_path / program)), b'link')) == target


def test_name_and_target_both_odd(tmp_path):
    name, target = '\u00fc'.encode() * 100, b'\xe9' * 200
    raw = header(name, tarwriter.SYMLINK, mode=0o777, link=target)
    with read(raw) as archive:
        info = archive.next()
        assert (os.fsencode(info.name), os.fsencode(info.linkname)) == (name, target)
    for program in ('tar', 'bsdtar'):
        extract(program, raw, tmp_path / program)
        assert os.readlink(os.path.join(os.fsencode(str(tmp_path / program)), name)) == target


def test_hard_links(tmp_path):
    name = b'f' * 120
    raw = member(name, b'data') + header(b'second', tarwriter.HARDLINK, link=name)
    with read(raw) as archive:
        info = archive.getmembers()[1]
        assert info.islnk() and info.size == 0 and os.fsencode(info.linkname) == name
    with_tarfile(raw, tmp_path / 'python')
    extract('tar', raw, tmp_path / 'gnu')
    extract('bsdtar', raw, tmp_path / 'bsd')
    for folder in ('python', 'gnu', 'bsd'):
        assert (tmp_path / folder / 'second').stat().st_nlink == 2


TIMES = [0, 5, 999999999, 10**9, 1700000000 * 10**9, 1700000000123456789, 10**18 - 1, -1, -10**9, -1500000000,
         -86400 * 10**9, 8589934591 * 10**9, 8589934592 * 10**9, 8589934592 * 10**9 + 7]


@pytest.mark.parametrize('mtime', TIMES)
def test_times_survive_gnu_tar_to_the_nanosecond(mtime, tmp_path):
    raw = member(b'file', mtime_ns=mtime)
    extract('tar', raw, tmp_path)
    assert (tmp_path / 'file').stat().st_mtime_ns == mtime
    with read(raw) as archive:
        assert abs(archive.next().mtime - mtime / 1e9) < 1e-5


@pytest.mark.parametrize('mtime', [mtime for mtime in TIMES if mtime >= 0 or mtime % 10**9 == 0])
def test_times_survive_bsdtar(mtime, tmp_path):
    # libarchive takes a fraction before 1970 for one after the second: its own doing
    extract('bsdtar', member(b'file', mtime_ns=mtime), tmp_path)
    assert (tmp_path / 'file').stat().st_mtime_ns == mtime


def listing(program, raw, tmp_path):
    programs.need(program)
    path = tmp_path / 'a.tar'
    path.write_bytes(raw)
    with open(str(path), 'r+b') as handle:
        # the member's data are a hole of our archive
        handle.truncate(len(raw) + 10 * GIB)
        handle.seek(len(raw) + 9 * GIB)
        handle.write(tarwriter.END)
        handle.truncate()
    words = subprocess.check_output([program, '--numeric-owner', '-tvf', str(path)], env=UTF8).decode().split()
    if program == 'tar':
        return words[1].split('/') + [words[2]]
    return words[2:5]


def test_large_sizes_and_ids(tmp_path):
    raw = header(b'file', size=9 * GIB, uid=2097152, gid=4294967294)
    for program in ('tar', 'bsdtar'):
        assert listing(program, raw, tmp_path) == ['2097152', '4294967294', str(9 * GIB)]
    with tarfile.open(str(tmp_path / 'a.tar')) as archive:
        info = archive.getmembers()[0]
        assert (info.uid, info.gid, info.size) == (2097152, 4294967294, 9 * GIB)
    # whoever doesn't know PAX must not make it root's
    assert raw[-512 + 108:-512 + 124] == b'7777777\x007777777\x00'


def test_largest_numbers_that_need_no_extension():
    raw = header(b'file', uid=0o7777777, gid=0o7777777, size=8 * GIB - 1)
    assert len(raw) == 512
    info = tarfile.TarInfo.frombuf(raw, 'utf-8', 'surrogateescape')
    assert (info.uid, info.gid, info.size) == (2097151, 2097151, 8 * GIB - 1)


def test_devices_and_fifos():
    raw = header(b'c', tarwriter.CHARACTER, device=(300, 1048575)) + header(b'b', tarwriter.BLOCKDEV, device=(8, 1)) \
        + header(b'p', tarwriter.FIFO, mode=0o6600)
    character, block, fifo = read(raw).getmembers()
    assert character.ischr() and (character.devmajor, character.devminor) == (300, 1048575)
    assert block.isblk() and (block.devmajor, block.devminor) == (8, 1)
    assert fifo.isfifo() and fifo.mode == 0o6600


def test_checksums_are_right_for_every_byte_value():
    # 255 * 100 bytes of name and of target: the sums that adler32 must not wrap
    for raw in (header(b'\xff' * 100, uid=0o7777777), header(b'\xff' * 100, tarwriter.SYMLINK, link=b'\xff' * 100),
                header(b'\xff' * 155 + b'/' + b'\xff' * 100, tarwriter.SYMLINK, link=b'\xff' * 100)):
        block = raw[-512:]
        assert int(block[148:154], 8) == sum(block[:148]) + 8 * 32 + sum(block[156:])


def test_no_names_of_users():
    with read(member(b'file', uid=5)) as archive:
        info = archive.next()
        assert (info.uname, info.gname) == ('', '')


@pytest.mark.parametrize('value', [b'', b'x', bytes(range(256)), b'a=b\n12 c=d\n', b'\0' * 70000, b'\xff' * 95,
                                   b'\xff' * 991])
def test_values_of_attributes_are_read_exactly(value):
    raw = member(b'file', b'data', xattrs={'user.first': value, 'user.second': b'2'})
    with read(raw) as archive:
        headers = archive.next().pax_headers
    assert headers['SCHILY.xattr.user.first'].encode('utf-8', 'surrogateescape') == value
    assert headers['SCHILY.xattr.user.second'] == '2'


def xattrs_of(path):
    return {name: os.getxattr(str(path), name) for name in os.listxattr(str(path))}


def attributes_work(folder):
    probe = str(folder / 'probe')
    with open(probe, 'wb'):
        pass
    try:
        os.setxattr(probe, 'user.probe', b'1')
    except OSError as exc:
        if os.environ.get('CI'):
            pytest.fail('no user attributes on %s: %s' % (folder, exc))
        pytest.skip('no user attributes on %s: %s' % (folder, exc))


def test_attributes_survive_extraction(tmp_path):
    attributes_work(tmp_path)
    found = {'user.binary': bytes(range(256)), 'user.empty': b'', 'user.lines': b'a=b\nc', 'user.per%cent': b'1',
             'user.\udce9': b'name is not UTF-8'}
    raw = member(b'file', b'data', xattrs=found)
    extract('tar', raw, tmp_path / 'gnu', '--xattrs', '--xattrs-include=*')
    extract('bsdtar', raw, tmp_path / 'bsd', '--xattrs')
    assert xattrs_of(tmp_path / 'gnu' / 'file') == found
    assert xattrs_of(tmp_path / 'bsd' / 'file') == found


def test_equals_sign_in_a_name_survives_gnu_tar(tmp_path):
    attributes_work(tmp_path)
    found = {'user.a=b': b'1', 'user.%3D': b'2', 'user.%25': b'3'}
    extract('tar', member(b'file', xattrs=found), tmp_path / 'gnu', '--xattrs', '--xattrs-include=*')
    assert xattrs_of(tmp_path / 'gnu' / 'file') == found


def acl(*entries):
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)


NOBODY = 0xffffffff
ACCESS = acl((1, 6, NOBODY), (2, 7, 1001), (4, 4, NOBODY), (8, 4, 4000000), (0x10, 7, NOBODY), (0x20, 0, NOBODY))
DEFAULT = acl((1, 7, NOBODY), (2, 6, 77), (4, 5, NOBODY), (0x10, 7, NOBODY), (0x20, 5, NOBODY))


def test_text_of_acls():
    assert tarwriter.acl_text(ACCESS) == b'user::rw-,user:1001:rwx,group::r--,group:4000000:r--,mask::rwx,other::---'
    for bad in (b'', b'\2\0\0', b'\1\0\0\0', ACCESS[:-1], acl((3, 6, NOBODY)), acl((1, 8, NOBODY))):
        assert tarwriter.acl_text(bad) is None or bad == b'\2\0\0\0'


def test_malformed_acl_is_kept_raw():
    with read(member(b'file', xattrs={'system.posix_acl_access': b'\1junk'})) as archive:
        headers = archive.next().pax_headers
    assert headers['SCHILY.xattr.system.posix_acl_access'] == '\1junk' and 'SCHILY.acl.access' not in headers


@pytest.mark.parametrize('program, options', [('tar', ['--acls']), ('tar', ['--xattrs', '--xattrs-include=*']),
                                              ('tar', ['--acls', '--xattrs', '--xattrs-include=*']),
                                              ('bsdtar', ['--acls'])])
def test_acls_survive_extraction(program, options, tmp_path):
    attributes_work(tmp_path)
    raw = header(b'folder/', tarwriter.FOLDER, mode=0o770,
                 xattrs={'system.posix_acl_access': ACCESS, 'system.posix_acl_default': DEFAULT})
    raw += member(b'file', mode=0o670, xattrs={'system.posix_acl_access': ACCESS})
    extract(program, raw, tmp_path / 'out', *options)
    # the rights of the owner and of others stand in both; extraction sets the mode first
    assert xattrs_of(tmp_path / 'out' / 'folder')['system.posix_acl_default'] == DEFAULT
    assert xattrs_of(tmp_path / 'out' / 'file')['system.posix_acl_access'] == ACCESS


def sparse(name, extents, size, **more):
    found = tarwriter.SparseMap(extents, size)
    raw = found.header(name, 0o644, 0, 0, 1700000000123456789, **more)
    return raw + found.blob + b''.join(b'D' * length for dummy, length in extents) + tarwriter.padding(found.stored)


MAPS = [([(0, 4096)], 1 << 20), ([(1 << 20, 4096)], (1 << 20) + 4096), ([], 1 << 20),
        ([(4096, 512), (1 << 20, 1024), (2 << 20, 5000)], 3 << 20),
        ([(8192 * i, 4096) for i in range(1, 200)], 200 * 8192)]


@pytest.mark.parametrize('name', [b'sparse', b's' * 100, LONG, b'\xe9' * 120, b'd/' + '\u00fc'.encode() * 70],
                         ids=range(5))
@pytest.mark.parametrize('number', range(len(MAPS)))
def test_sparse_members_are_read_alike(number, name, tmp_path):
    extents, size = MAPS[number]
    raw = sparse(name, extents, size, xattrs={'user.x': b'1'}) + member(b'after', b'next')
    expected = bytearray(size)
    for start, length in extents:
        expected[start:start + length] = b'D' * length
    with_tarfile(raw, tmp_path / 'python')
    extract('tar', raw, tmp_path / 'gnu')
    extract('bsdtar', raw, tmp_path / 'bsd')
    for folder in ('python', 'gnu', 'bsd'):
        path = os.path.join(os.fsencode(str(tmp_path / folder)), name)
        with open(path, 'rb') as handle:
            assert handle.read() == expected, folder
        assert os.stat(path).st_blocks * 512 < size, folder
        assert (tmp_path / folder / 'after').read_bytes() == b'next'


def test_sparse_sizes_beyond_8_gib(tmp_path):
    raw = sparse(b'sparse', [(100 * GIB - 512, 512)], 100 * GIB)
    extract('tar', raw, tmp_path / 'gnu')
    assert (tmp_path / 'gnu' / 'sparse').stat().st_size == 100 * GIB
    with read(raw) as archive:
        assert archive.next().size == 100 * GIB


def test_the_same_entry_gives_the_same_bytes():
    found = {'user.b': b'2', 'user.a': b'1', 'security.capability': b'3'}
    assert member(b'f', xattrs=found) == member(b'f', xattrs=dict(reversed(list(found.items()))))
    # no PAX header where ustar can say it all
    assert len(header(b'f')) == 512 and len(header(b'f', mtime_ns=1)) == 1536


@pytest.mark.parametrize('length', list(range(1, 12)) + [90, 91, 92, 93, 94, 990, 991, 992, 993, 9990, 9991, 9992])
def test_length_of_a_record_counts_itself(length):
    raw = tarwriter.record(b'key', b'v' * length)
    assert int(raw.split(b' ')[0]) == len(raw)


def test_a_link_without_a_target_is_still_a_header():
    # a damaged file system may say so
    assert read(header(b'link', tarwriter.SYMLINK, link=b'')).getmembers()[0].issym()

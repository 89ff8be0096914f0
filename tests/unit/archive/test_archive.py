import errno
import hashlib
import io
import os
import shutil
import socket
import stat
import struct
import subprocess
import tarfile
import tempfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import write as archive
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import tree
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import checksums
from ansible_collections.lifeboat.docker.plugins.module_utils.layers.idmap import IdMap

MTIME = 1700000000123456789
FILE, FOLDER, LINK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK


# --- trees without a disk

class Item(object):
    """One thing of a made-up tree. `data` is what the file holds, `size` what lstat said of it.
    `fails`: {'open' | 'xattrs' | 'readlink': errno}."""

    def __init__(self, path, kind=FILE, data=b'', mode=0o644, ids=(0, 0), ino=None, nlink=1, size=None, mtime_ns=MTIME,
                 rdev=0, target=b'', xattrs=None, whiteout=False, opaque=False, blocks=None, fails=None):
        self.path, self.data, self.target, self.xattrs = path, data, target, xattrs or {}
        self.whiteout, self.opaque, self.fails = whiteout, opaque, fails or {}
        size = len(data) if size is None else size
        blocks = (size + 511) // 512 if blocks is None else blocks
        ino = ino or int(hashlib.sha256(path).hexdigest()[:8], 16)
        self.st = os.stat_result(
            (kind | mode, ino, 7, nlink, ids[0], ids[1], size) + (mtime_ns // 10**9,) * 3,
            {'st_mtime_ns': mtime_ns, 'st_ctime_ns': mtime_ns, 'st_blocks': blocks, 'st_rdev': rdev})

    def attempt(self, what):
        if what in self.fails:
            raise OSError(self.fails[what], os.strerror(self.fails[what]))

    # the parts of safeio.Dir and of a tree that an entry uses

    def readlink(self, name):
        self.attempt('readlink')
        return self.target

    def entry(self):
        return tree.Entry(self.path, self.st, self, self.path.rpartition(b'/')[2], MadeUp, self.whiteout, self.opaque)


class MadeUp(object):
    @staticmethod
    def open(entry):
        item = entry.folder
        item.attempt('open')
        with tempfile.TemporaryFile() as handle:
            handle.write(item.data)
            handle.flush()
            handle.seek(0)
            return os.dup(handle.fileno())

    @staticmethod
    def xattrs(entry, fd=None):
        entry.folder.attempt('xattrs')
        return dict(entry.folder.xattrs)


def entries(*items):
    return (item.entry() if isinstance(item, Item) else item for item in items)


class Output(object):
    """A writer whose caller may reuse its buffer."""

    def __init__(self):
        self.pieces = []

    def write(self, data):
        self.pieces.append(bytes(data))


def write(items, **options):
    """(Result, members of the archive, lines of the sums)."""
    output, sums = Output(), io.BytesIO()
    if isinstance(items, list):
        items = entries(*items)
    result = archive.write_tar(items, output, sums=sums, **options)
    raw = b''.join(output.pieces)
    assert result.tar_bytes == len(raw) and len(raw) % 512 == 0 and raw.endswith(bytes(1024))
    opened = tarfile.open(fileobj=io.BytesIO(raw))
    found = opened.getmembers()
    assert result.entries == len(found)
    # nothing after the last member that a reader would stumble over
    assert raw[opened.offset:].strip(b'\0') == b''
    return result, opened, sums.getvalue()


def names(opened):
    return [os.fsencode(info.name) + (b'/' if info.isdir() else b'') for info in opened.getmembers()]


def content(opened, name):
    return opened.extractfile(opened.getmember(os.fsdecode(name))).read()


# --- forms

def test_tree_has_plain_relative_names_in_the_order_of_the_stream():
    result, opened, sums = write([Item(b'd', FOLDER, mode=0o755), Item(b'd/f', data=b'one'), Item(b'empty'),
                                  Item(b'l', LINK, target=b'd/f'), Item(b'p', stat.S_IFIFO),
                                  Item(b'c', stat.S_IFCHR, rdev=os.makedev(1, 3))])
    assert names(opened) == [b'd/', b'd/f', b'empty', b'l', b'p', b'c']
    assert (result.entries, result.files, result.source_bytes, result.failures_total) == (6, 2, 3, 0)
    assert content(opened, b'd/f') == b'one'
    assert opened.getmember('l').linkname == 'd/f' and opened.getmember('c').devminor == 3
    assert list(checksums.parse(sums.splitlines(True))) == [
        (hashlib.sha256(b'one').hexdigest(), b'./d/f'), (hashlib.sha256(b'').hexdigest(), b'./empty')]


def test_root_entry_stands_first_as_dot_slash():
    root = Item(b'', FOLDER, mode=0o1777, ids=(3, 4)).entry()
    dummy, opened, sums = write([Item(b'f')], root_entry=root)
    first = opened.getmembers()[0]
    assert (first.name, first.isdir(), first.mode, first.uid, first.gid) == ('.', True, 0o1777, 3, 4)
    assert names(opened) == [b'./', b'f']


def test_layer_writes_deletions_as_oci_wants_them():
    result, opened, sums = write([
        Item(b'etc', FOLDER, opaque=True), Item(b'etc/hosts', stat.S_IFCHR, whiteout=True, ino=5, nlink=3, ids=(9, 9)),
        Item(b'gone', stat.S_IFCHR, whiteout=True, ino=5, nlink=3), Item(b'kept', data=b'x')],
        form='layer', idmap=IdMap([(100, 0, 10)], [(100, 0, 10)]))
    assert names(opened) == [b'etc/', b'etc/.wh..wh..opq', b'etc/.wh.hosts', b'.wh.gone', b'kept']
    for name in ('etc/.wh..wh..opq', 'etc/.wh.hosts', '.wh.gone'):
        info = opened.getmember(name)
        # never a hard link, although they share an inode; never touched by an id map
        assert info.isreg() and (info.size, info.mode, info.uid, info.gid, info.linkname) == (0, 0o600, 0, 0, '')
    assert opened.getmember('kept').uid == 100
    # markers are no files of the container
    assert result.files == 1 and sums.count(b'\n') == 1


def test_a_deletion_that_is_no_inode():
    # a driver that deletes by name has nothing to stat
    item = Item(b'd/gone', whiteout=True)
    item.st = os.stat_result((stat.S_IFCHR, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    result, opened, dummy = write([Item(b'd', FOLDER), item], form='layer')
    assert names(opened) == [b'd/', b'd/.wh.gone']
    assert archive.fingerprint(entries(Item(b'd', FOLDER), item)) == result.fingerprint


def test_real_files_with_the_name_of_a_deletion_are_told():
    items = [Item(b'.wh.a', data=b'1'), Item(b'd', FOLDER), Item(b'd/.wh..wh..opq'), Item(b'd/x.wh.y')]
    result, opened, dummy = write(items, form='layer')
    assert result.markers == (b'.wh.a', b'd/.wh..wh..opq') and result.markers_total == 2
    assert content(opened, b'.wh.a') == b'1'
    assert write(items, form='tree')[0].markers_total == 0


def test_character_device_0_0_in_a_tree_is_a_device():
    dummy, opened, sums = write([Item(b'wh', stat.S_IFCHR, rdev=0)])
    assert opened.getmember('wh').ischr()


def test_sockets_are_counted_and_left_out():
    result, opened, dummy = write([Item(b's', stat.S_IFSOCK), Item(b's2', stat.S_IFSOCK, nlink=2), Item(b'f')])
    assert names(opened) == [b'f'] and result.skipped_sockets == 2 and result.failures_total == 0


def test_an_empty_tree_is_an_archive():
    result, opened, sums = write([])
    assert names(opened) == [] and result.tar_bytes == 1024 and sums == b''


# --- owners, times, attributes

CAP2 = struct.pack('<IIIII', 0x02000001, 1024, 0, 0, 0)
CAP3 = struct.pack('<IIIIII', 0x03000001, 1024, 0, 0, 0, 100000)


def test_ids_of_a_user_namespace():
    ids = IdMap([(0, 100000, 65536)], [(0, 200000, 65536)])
    dummy, opened, sums = write([Item(b'root', ids=(100000, 200000), xattrs={'security.capability': CAP3}),
                                 Item(b'www', ids=(100033, 200033)), Item(b'alien', ids=(7, 8)),
                                 Item(b'd', FOLDER, ids=(100001, 200001)),
                                 Item(b'l', LINK, target=b'x', ids=(100002, 200002))],
                                idmap=ids)
    assert [(info.uid, info.gid) for info in opened] == [(0, 0), (33, 33), (7, 8), (1, 1), (2, 2)]
    headers = opened.getmember('root').pax_headers
    assert headers['SCHILY.xattr.security.capability'].encode('utf-8', 'surrogateescape') == CAP2


ACL = b'\x02\0\0\0' + b''.join(struct.pack('<HHI', *entry) for entry in (
    (1, 6, 0xffffffff), (2, 6, 1000), (4, 4, 0xffffffff), (16, 7, 0xffffffff), (32, 0, 0xffffffff)))


def test_attributes_for_docker_load():
    """See archive.loadable; tests/engines loads such layers."""
    kept = {'user.x': b'1', 'user.percent%': b'%', 'trusted.y': b'\xff\0', 'user.empty': b'', 'system.posix_acl_access': ACL}
    item = Item(b'f', xattrs=dict(kept, **{
        'security.capability': CAP3, 'security.selinux': b'label\0', 'security.ima': b'x'}))
    left = [Item(b'g%d' % number, xattrs={name: value, 'user.x': b'1'}) for number, (name, value) in enumerate((
        ('trusted.overlay.opaque', b'y'), ('user.overlay.opaque', b'y'), ('user.fuseoverlayfs.opaque', b'y'), ('user.a=b', b'1'),
        ('user.a%3Db', b'1'), ('user.big', b'x' * 5000), ('system.nfs4_acl', b'1')))]
    link = Item(b'l', LINK, target=b'f', xattrs={'trusted.t': b'4'})
    result, opened, sums = write([item] + left + [link], for_loading=True)
    headers = opened.getmember('f').pax_headers
    assert {name[13:]: value.encode('utf-8', 'surrogateescape') for name, value in headers.items() if name.startswith('SCHILY.xattr.')} \
        == dict(kept, **{'security.capability': CAP2})
    for each in left:
        headers = opened.getmember(each.path.decode()).pax_headers
        assert [name for name in headers if name.startswith('SCHILY.xattr.')] == ['SCHILY.xattr.user.x']
    assert not [name for name in opened.getmember('l').pax_headers if 'xattr' in name]
    assert (result.stripped, result.stripped_total) == (tuple(each.path for each in left) + (b'l',), len(left) + 1)
    assert result.attributes_by_some == 1


def test_whole_seconds():
    before = Item(b'old', mtime_ns=-1500000000)
    dummy, opened, sums = write([Item(b'f'), before], whole_seconds=True)
    assert opened.getmember('f').mtime == MTIME // 10**9 and opened.getmember('old').mtime == -2


def test_all_attributes_and_nanoseconds_otherwise():
    dummy, opened, sums = write([Item(b'f', xattrs={'user.x': b'1', 'trusted.y': b'\xff\0'}),
                                 Item(b'd', FOLDER, xattrs={'user.z': b'3'}),
                                 Item(b'l', LINK, target=b'f', xattrs={'trusted.t': b'4'})])
    headers = opened.getmember('f').pax_headers
    assert headers['mtime'] == '1700000000.123456789'
    assert headers['SCHILY.xattr.trusted.y'].encode('utf-8', 'surrogateescape') == b'\xff\0'
    assert opened.getmember('d').pax_headers['SCHILY.xattr.user.z'] == '3'
    assert opened.getmember('l').pax_headers['SCHILY.xattr.trusted.t'] == '4'


# --- hard links

def test_hard_links_of_every_type_point_to_the_first_name():
    result, opened, sums = write([Item(b'a', data=b'one', ino=5, nlink=3), Item(b'b', data=b'one', ino=5, nlink=3),
                                  Item(b'c', data=b'one', ino=5, nlink=3), Item(b'p', stat.S_IFIFO, ino=6, nlink=2),
                                  Item(b'p2', stat.S_IFIFO, ino=6, nlink=2),
                                  Item(b's', LINK, target=b'a', ino=7, nlink=2),
                                  Item(b's2', LINK, target=b'a', ino=7, nlink=2)])
    assert [(info.name, info.linkname) for info in opened if info.islnk()] == [
        ('b', 'a'), ('c', 'a'), ('p2', 'p'), ('s2', 's')]
    assert (result.files, result.source_bytes) == (3, 3)
    digest = hashlib.sha256(b'one').hexdigest()
    assert list(checksums.parse(sums.splitlines(True))) == [(digest, b'./a'), (digest, b'./b'), (digest, b'./c')]


def test_an_inode_is_forgotten_after_its_last_name(monkeypatch):
    monkeypatch.setattr(archive, 'MAX_LINKS', 4)
    items = []
    for number in range(50):
        items += [Item(b'%d-%s' % (number, name), data=b'x', ino=number + 1, nlink=3) for name in (b'a', b'b', b'c')]
    result, opened, dummy = write(items)
    assert result.split_links == 0 and sum(info.islnk() for info in opened) == 100


def test_names_that_never_come_cannot_fill_the_memory(monkeypatch):
    monkeypatch.setattr(archive, 'MAX_LINKS', 100)
    first = [Item(b'first', data=b'same', ino=1, nlink=2)]
    strangers = [Item(b'x%d' % number, data=b'y', ino=number + 10, nlink=4) for number in range(1000)]
    pair = [Item(b'y1', data=b'z', ino=2, nlink=2), Item(b'y2', data=b'z', ino=2, nlink=2)]
    last = [Item(b'z', data=b'same', ino=1, nlink=2)]
    result, opened, sums = write(first + strangers + pair + last)
    # the far name became a file of its own: more bytes, nothing wrong, and told
    assert result.split_links >= 900 and opened.getmember('z').isreg() and content(opened, b'z') == b'same'
    assert opened.getmember('y2').islnk()
    assert sums.count(b'\n') == 1004


def test_the_same_inode_number_on_another_file_system_is_another_file():
    one, other = Item(b'a', data=b'1', ino=5, nlink=2), Item(b'b', data=b'2', ino=5, nlink=2)
    moved = list(other.st[:10])
    moved[2] = 8
    other.st = os.stat_result(moved, {'st_mtime_ns': MTIME, 'st_ctime_ns': MTIME, 'st_blocks': 1, 'st_rdev': 0})
    dummy, opened, sums = write([one, other])
    assert not opened.getmember('b').islnk() and content(opened, b'b') == b'2'


# --- what goes wrong while reading

SIZES = [1, 4096, 10000, 128 * 1024, 128 * 1024 + 1, (2 << 20) + 17]


@pytest.mark.parametrize('size', SIZES)
def test_a_file_that_became_shorter_is_padded_with_zeros(size):
    data = os.urandom(size // 2)
    result, opened, sums = write([Item(b'f', data=data, size=size), Item(b'next', data=b'n')])
    expected = data + bytes(size - len(data))
    assert content(opened, b'f') == expected and content(opened, b'next') == b'n'
    assert [(lost.path, lost.offset) for lost in result.failures] == [(b'f', len(data))]
    assert sums.startswith(hashlib.sha256(expected).hexdigest().encode())


@pytest.mark.parametrize('size', SIZES)
def test_a_file_that_became_longer_is_cut(size):
    data = os.urandom(size + 3000)
    result, opened, sums = write([Item(b'f', data=data, size=size), Item(b'next', data=b'n')])
    assert content(opened, b'f') == data[:size] and content(opened, b'next') == b'n'
    assert result.failures_total == 0 and sums.startswith(hashlib.sha256(data[:size]).hexdigest().encode())


class BadPages(object):
    """Makes the kernel calls of one file fail with EIO where they touch a bad page; whole calls, as a disk does."""

    def __init__(self, monkeypatch, size, bad):
        self.size, self.bad = size, bad
        self.real = {name: getattr(os, name) for name in ('read', 'readv', 'pread')}
        monkeypatch.setattr(archive.os, 'read', self.read)
        monkeypatch.setattr(archive.os, 'readv', self.readv)
        monkeypatch.setattr(archive.os, 'pread', self.pread)

    def check(self, fd, start, length):
        if os.fstat(fd).st_size == self.size and any(start < (page + 1) * 4096 and start + length > page * 4096
                                                     for page in self.bad):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def read(self, fd, length):
        self.check(fd, os.lseek(fd, 0, os.SEEK_CUR), length)
        return self.real['read'](fd, length)

    def readv(self, fd, buffers):
        self.check(fd, os.lseek(fd, 0, os.SEEK_CUR), sum(map(len, buffers)))
        return self.real['readv'](fd, buffers)

    def pread(self, fd, length, offset):
        self.check(fd, offset, length)
        return self.real['pread'](fd, length, offset)


@pytest.mark.parametrize('size, bad', [
    (100, [0]), (10000, [0]), (10000, [2]), (100000, [3, 4, 5, 20]), (3 << 20, [0, 255, 256, 257, 700]),
    ((3 << 20) + 100, [768]), (2 << 20, list(range(512)))])
def test_unreadable_pages_are_zeros_and_the_rest_is_saved(size, bad, monkeypatch):
    data = os.urandom(size)
    expected = bytearray(data)
    for page in bad:
        expected[page * 4096:(page + 1) * 4096] = bytes(len(expected[page * 4096:(page + 1) * 4096]))
    BadPages(monkeypatch, size, bad)
    result, opened, sums = write([Item(b'f', data=data), Item(b'next', data=b'n')])
    assert content(opened, b'f') == expected and content(opened, b'next') == b'n'
    assert sums.startswith(hashlib.sha256(expected).hexdigest().encode())
    # one record for each stretch, with the first byte that is lost
    stretches = [page * 4096 for page in bad if page - 1 not in bad]
    assert [(lost.path, lost.offset) for lost in result.failures] == [(b'f', offset) for offset in stretches]
    assert all('Input/output error' in lost.message for lost in result.failures)


def test_a_real_read_error(monkeypatch):
    # the first page of a process is never mapped: read(2) says EIO
    monkeypatch.setattr(MadeUp, 'open', staticmethod(
        lambda entry: os.open('/proc/self/mem' if entry.path == b'f' else os.devnull, os.O_RDONLY)))
    result, opened, sums = write([Item(b'f', size=10000, blocks=20), Item(b'next')])
    assert content(opened, b'f') == bytes(10000) and result.failures[0][:2] == (b'f', 0)
    assert names(opened) == [b'f', b'next']


def test_what_cannot_be_opened_is_left_out_and_told():
    result, opened, sums = write([Item(b'a', fails={'open': errno.EIO}),
                                  Item(b'l', LINK, fails={'readlink': errno.EIO}),
                                  Item(b'odd', 0o150000), Item(b'b', data=b'2'),
                                  tree.Failure(b'd', OSError(errno.EACCES, 'Permission denied'), True)])
    assert names(opened) == [b'b']
    assert [lost.path for lost in result.failures] == [b'a', b'l', b'odd', b'd']
    assert all(lost.offset is None for lost in result.failures)
    assert 'Input/output error' in result.failures[0].message and 'Permission denied' in result.failures[3].message
    assert sums.count(b'\n') == 1


def test_further_name_of_a_file_that_could_not_be_opened_is_tried_itself():
    result, opened, sums = write([Item(b'a', ino=5, nlink=2, fails={'open': errno.EIO}),
                                  Item(b'b', data=b'2', ino=5, nlink=2)])
    assert names(opened) == [b'b'] and content(opened, b'b') == b'2'


def test_unreadable_attributes_cost_the_attributes_only():
    result, opened, sums = write([Item(b'a', data=b'1', fails={'xattrs': errno.EIO}),
                                  Item(b'd', FOLDER, fails={'xattrs': errno.EIO})])
    assert names(opened) == [b'a', b'd/'] and content(opened, b'a') == b'1'
    assert [lost.path for lost in result.failures] == [b'a', b'd']


def test_the_caller_may_stop_at_the_first_failure():
    class Stop(Exception):
        pass

    def refuse(lost):
        raise Stop(lost.path)
    with pytest.raises(Stop, match='a'):
        write([Item(b'a', fails={'open': errno.EIO}), Item(b'b')], on_failure=refuse)


def test_endless_failures_are_counted_not_kept():
    result, dummy, sums = write([Item(b'%d' % number, fails={'open': errno.EIO}) for number in range(1500)])
    assert result.failures_total == 1500 and len(result.failures) == archive.MAX_LISTED


def test_no_descriptor_stays_open():
    before = os.listdir('/proc/self/fd')
    write([Item(b'a', data=b'1', fails={'xattrs': errno.EIO}), Item(b'b', data=b'2', size=5),
           Item(b'c', fails={'open': errno.EIO})])
    with pytest.raises(ValueError):
        write([Item(b'a', data=b'1', size=5)], on_failure=lambda lost: int('no'))
    assert os.listdir('/proc/self/fd') == before


# --- sparse files

def sparse_file(path, extents, size):
    with open(str(path), 'wb') as handle:
        for offset, data in extents:
            handle.seek(offset)
            handle.write(data)
        handle.truncate(size)
    st = os.stat(str(path))
    if st.st_blocks * 512 >= size:
        pytest.skip('no sparse files on %s' % path)


def of_folder(path, **options):
    return write(tree.PlainTree(os.fsencode(str(path))).entries(), **options)


@pytest.mark.parametrize('extents, size', [
    ([], 1 << 20), ([(0, b'a' * 100)], 1 << 20), ([(1 << 20, b'b' * 5000)], (1 << 20) + 5000),
    ([(100000, b'c' * 300000), (5 << 20, b'd')], 6 << 20), ([(i << 16, b'e' * 10) for i in range(100)], 100 << 16)])
def test_holes_stay_holes(extents, size, tmp_path):
    sparse_file(tmp_path / 's', extents, size)
    result, opened, sums = of_folder(tmp_path)
    data = (tmp_path / 's').read_bytes()
    info = opened.getmember('s')
    assert info.issparse() and info.size == size and content(opened, b's') == data
    assert result.source_bytes == size and result.tar_bytes < size
    assert sums == hashlib.sha256(data).hexdigest().encode() + b'  ./s\n'
    flat = of_folder(tmp_path, sparse=False)[1]
    assert not flat.getmember('s').issparse() and content(flat, b's') == data


def test_a_giant_hole_costs_nothing_and_is_not_hashed(tmp_path):
    sparse_file(tmp_path / 'a\nb', [(50 << 30, b'middle')], 100 << 30)
    (tmp_path / 'after').write_bytes(b'x')
    result, opened, sums = of_folder(tmp_path)
    assert result.tar_bytes < 20000
    assert sums.startswith(b'# ') and sums.splitlines()[0].endswith(b'./a\\nb')
    assert list(checksums.parse(sums.splitlines(True))) == [(hashlib.sha256(b'x').hexdigest(), b'./after')]


def test_a_sparse_file_that_became_shorter(tmp_path, monkeypatch):
    sparse_file(tmp_path / 's', [(0, b'a' * 8192), (1 << 20, b'b' * 8192)], 2 << 20)
    real = archive.data_map

    def then_cut(fd, size):
        found = real(fd, size)
        os.truncate(str(tmp_path / 's'), 4096)
        return found
    monkeypatch.setattr(archive, 'data_map', then_cut)
    result, opened, sums = of_folder(tmp_path)
    assert content(opened, b's') == b'a' * 4096 + bytes((2 << 20) - 4096)
    assert [lost.offset for lost in result.failures] == [4096, 1 << 20]


def test_many_holes_make_a_bounded_map(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, 'MAX_EXTENTS', 50)
    extents = [(i * 8192, b'x' * 4096) for i in range(1500)] + [(13 << 20, b'y' * 4096), (14 << 20, b'z' * 4096)]
    sparse_file(tmp_path / 's', extents, 40 << 20)
    with open(str(tmp_path / 's'), 'rb') as handle:
        found = archive.data_map(handle.fileno(), 40 << 20)
        assert handle.tell() == 0
    assert len(found) <= 50
    # the large holes are the ones that are kept
    assert [start for start, dummy in found] == [0, 13 << 20, 14 << 20]
    result, opened, sums = of_folder(tmp_path)
    assert content(opened, b's') == (tmp_path / 's').read_bytes() and result.tar_bytes < 13 << 20


def test_a_file_system_that_cannot_tell_has_no_holes(monkeypatch):
    with tempfile.TemporaryFile() as handle:
        handle.truncate(1 << 20)
        real = os.lseek

        def refuse(fd, offset, how):
            if how in (os.SEEK_DATA, os.SEEK_HOLE):
                raise OSError(errno.EINVAL, 'Invalid argument')
            return real(fd, offset, how)
        monkeypatch.setattr(archive.os, 'lseek', refuse)
        assert archive.data_map(handle.fileno(), 1 << 20) == [(0, 1 << 20)]


def test_odd_units_become_whole_blocks(monkeypatch):
    data = [(100, 200), (700, 1000), (3000, 3100)]

    def seek(fd, offset, how):
        if how == os.SEEK_SET:
            return offset
        for start, end in data:
            if offset < end:
                return max(start, offset) if how == os.SEEK_DATA else end
        raise OSError(errno.ENXIO, 'none')
    monkeypatch.setattr(archive.os, 'lseek', seek)
    found = archive.data_map(0, 3090)
    assert found == [(0, 1024), (2560, 530)]
    assert all(start % 512 == 0 for start, dummy in found) and all(length % 512 == 0 for dummy, length in found[:-1])


# --- fingerprint

def test_fingerprint_needs_no_data_and_sees_every_change():
    def items(**change):
        values = dict(mode=0o644, ids=(1, 2), mtime_ns=MTIME, ino=9, data=b'12345')
        values.update(change)
        return [Item(b'd', FOLDER), Item(b'd/f', **values), Item(b'l', LINK, target=b'x'),
                tree.Failure(b'q', OSError(errno.EIO, 'x'), False)]
    result, dummy, sums = write(items())
    blind = items()
    for item in blind[:3]:
        item.fails = dict.fromkeys(('open', 'xattrs', 'readlink'), errno.EIO)
    assert archive.fingerprint(entries(*blind)) == result.fingerprint
    changes = [dict(mode=0o600), dict(ids=(1, 3)), dict(ids=(0, 2)), dict(mtime_ns=MTIME + 1), dict(ino=10),
               dict(data=b'123456'), dict(mtime_ns=10**30)]
    prints = {archive.fingerprint(entries(*items(**change))) for change in changes}
    assert len(prints) == len(changes) and result.fingerprint not in prints
    assert archive.fingerprint(entries(*items()[:3])) != result.fingerprint
    assert archive.fingerprint(entries(*items()), Item(b'', FOLDER).entry()) != result.fingerprint
    assert archive.fingerprint(entries(Item(b'x', whiteout=True))) != archive.fingerprint(entries(Item(b'x')))
    assert archive.fingerprint(entries(Item(b'x', FOLDER, opaque=True))) != \
        archive.fingerprint(entries(Item(b'x', FOLDER)))


def test_fingerprint_cannot_be_forged_by_names():
    assert archive.fingerprint(entries(Item(b'a', ino=1), Item(b'b', ino=1))) != \
        archive.fingerprint(entries(Item(b'ab', ino=1), Item(b'', ino=1)))


def test_the_same_tree_gives_the_same_bytes():
    items = [Item(b'%d' % number, data=b'x' * number * 100, xattrs={'user.b': b'1', 'user.a': b'2'})
             for number in range(300)]
    first, second = Output(), Output()
    archive.write_tar(entries(*items), first)
    archive.write_tar(entries(*items), second)
    assert b''.join(first.pieces) == b''.join(second.pieces)
    # small files go out together
    assert max(map(len, first.pieces)) >= 256 * 1024 and len(first.pieces) < 15


def test_wrong_form_is_refused():
    with pytest.raises(ValueError):
        archive.write_tar([], Output(), form='zip')


# --- a real folder, there and back

def build(root):
    """Everything that a user without rights can make."""
    for name in (b'plain', b'new\nline', b'\xff\xfe', '\u00fc'.encode(), b'n' * 150, b'back\\slash'):
        with open(os.path.join(root, name), 'wb') as handle:
            handle.write(name * 10)
    deep = os.path.join(root, *[b'a' * 60] * 6)
    os.makedirs(deep)
    with open(os.path.join(deep, b'file'), 'wb') as handle:
        handle.write(os.urandom(300000))
    os.symlink(b'/etc/shadow', os.path.join(root, b'absolute'))
    os.symlink(b'\xe9' * 150, os.path.join(root, b'far'))
    os.link(os.path.join(root, b'plain'), os.path.join(root, b'x' * 120))
    os.mkfifo(os.path.join(root, b'fifo'))
    with open(os.path.join(root, b'sparse'), 'wb') as handle:
        handle.seek(3 << 20)
        handle.write(b'end')
    for name, mtime in ((b'plain', MTIME), (b'\xff\xfe', -10**9), (b'n' * 150, 1)):
        os.utime(os.path.join(root, name), ns=(mtime, mtime))
    os.chmod(os.path.join(root, b'plain'), 0o6751)
    plug = socket.socket(socket.AF_UNIX)
    plug.bind(os.path.join(root, b'socket'))
    plug.close()
    os.utime(deep, ns=(5, 10**18 + 1))


def snapshot(root):
    found, first = {}, {}
    for base, folders, files in os.walk(root):
        for name in folders + files + ([b'.'] if base == root else []):
            path = os.path.normpath(os.path.join(base, name))
            st = os.lstat(path)
            about = [oct(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns]
            if stat.S_ISREG(st.st_mode):
                with open(path, 'rb') as handle:
                    about += [handle.read(), st.st_blocks * 512 < st.st_size]
            if stat.S_ISLNK(st.st_mode):
                about.append(os.readlink(path))
            relative = os.path.relpath(path, root)
            if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
                first.setdefault(st.st_ino, set()).add(relative)
                about.append(first[st.st_ino])
            if not stat.S_ISSOCK(st.st_mode):
                found[relative] = about
    return found


def test_a_real_folder_there_and_back(tmp_path):
    if shutil.which('tar') is None:
        pytest.fail('GNU tar is missing')
    source, target = os.fsencode(str(tmp_path / 'source')), os.fsencode(str(tmp_path / 'target'))
    os.mkdir(source)
    os.mkdir(target)
    build(source)
    os.utime(source, ns=(0, MTIME))
    plain = tree.PlainTree(source)
    output, sums = Output(), io.BytesIO()
    result = archive.write_tar(plain.entries(), output, sums=sums, root_entry=plain.root_entry())
    assert result.failures_total == 0 and result.skipped_sockets == 1
    run = subprocess.run(['tar', '--numeric-owner', '-xpf', '-', '-C', target], input=b''.join(output.pieces),  # pylint: disable=subprocess-run-check
                         stderr=subprocess.PIPE)
    assert run.returncode == 0, run.stderr
    assert snapshot(target) == snapshot(source)
    listed = list(checksums.parse(io.BytesIO(sums.getvalue())))
    assert len(listed) == result.files == 9
    for digest, path in listed:
        with open(os.path.join(target, path), 'rb') as handle:
            assert hashlib.sha256(handle.read()).hexdigest() == digest

"""Image files: their format, the files that belong to them, and that none of them leads QEMU anywhere else."""
import os
import struct

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import images
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError


def qcow2(path, backing=b'', backing_format=b'', incompatible=0, crypt=0):
    extension = b''
    if backing_format:
        extension = struct.pack('>II', 0xe2792aca, len(backing_format)) + backing_format.ljust(len(backing_format) + 7 & ~7, b'\0')
    extension += struct.pack('>II', 0, 0)
    where = 104 + len(extension) if backing else 0
    header = struct.pack('>4sIQIIQIIQQIIQ', b'QFI\xfb', 3, where, len(backing), 16, 1 << 20, crypt, 1, 0, 0, 0, 0, 0)
    header += struct.pack('>QQQII', incompatible, 0, 0, 4, 104)
    path.write_bytes(header + extension + backing + bytes(4096))
    return str(path)


def raw(path, size=1 << 20):
    with open(str(path), 'wb') as out:
        out.truncate(size)
    return str(path)


def test_formats_by_content(tmp_path):
    for name, begin, expected in (('a', b'vhdxfile', 'vhdx'), ('b', b'KDMV', 'vmdk'), ('c', b'# Disk DescriptorFile\n', 'vmdk'),
                                  ('d', bytes(64) + b'\x7f\x10\xda\xbe', 'vdi'), ('e', b'conectix', 'vpc'), ('f', b'\xeb\x63', 'raw'), ('g', b'', 'raw')):
        (tmp_path / name).write_bytes(begin.ljust(2048, b'\0') if begin else b'')
        assert images.format_of(str(tmp_path / name)) == expected
    (tmp_path / 'h').write_bytes(bytes(2048) + b'conectix'.ljust(512, b'\0'))
    assert images.format_of(str(tmp_path / 'h')) == 'vpc'


def test_backing_files_are_found_beside_the_image_wherever_they_once_were(tmp_path):
    base = raw(tmp_path / 'basedisk')
    for recorded in (b'/Users/me/.lima/x/basedisk', b'basedisk', b'../../etc/basedisk', b'C:\\lima\\basedisk', b'file:///x/basedisk'):
        top = qcow2(tmp_path / 'diffdisk', recorded, b'raw')
        found = images.image_of(top)
        assert found.files == (top, base)
        assert found.graph['backing']['file'] == {'driver': 'file', 'filename': base, 'read-only': True}
        assert found.graph['backing']['driver'] == 'raw'


@pytest.mark.parametrize('backing', [b'/etc/passwd', b'nbd://10.0.0.1/x', b'json:{"driver":"ssh"}', b'/dev/sda', b'..', b'x/'])
def test_a_backing_file_elsewhere_is_refused(tmp_path, backing):
    with pytest.raises(LifeboatError):
        images.image_of(qcow2(tmp_path / 'disk', backing, b'raw'))


def test_a_backing_file_that_is_a_link_is_refused(tmp_path):
    os.symlink('/etc/passwd', str(tmp_path / 'base'))
    with pytest.raises(LifeboatError) as raised:
        images.image_of(qcow2(tmp_path / 'disk', b'base', b'raw'))
    assert 'not a regular file' in str(raised.value)


def test_backing_files_in_a_circle(tmp_path):
    qcow2(tmp_path / 'one', b'two', b'qcow2')
    with pytest.raises(LifeboatError) as raised:
        images.image_of(qcow2(tmp_path / 'two', b'one', b'qcow2'))
    assert 'circle' in str(raised.value)


def test_a_raw_backing_file_is_raw_even_if_it_looks_like_another_format(tmp_path):
    """What a guest writes to its first sector must not make QEMU open files for it."""
    qcow2(tmp_path / 'base', b'/etc/shadow', b'raw')
    found = images.image_of(qcow2(tmp_path / 'top', b'base', b'raw'))
    assert found.graph['backing']['driver'] == 'raw' and len(found.files) == 2


@pytest.mark.parametrize('options, word', [({'incompatible': 4}, 'external data file'), ({'crypt': 1}, 'encrypted')])
def test_what_cannot_be_read_is_said(tmp_path, options, word):
    with pytest.raises(LifeboatError) as raised:
        images.image_of(qcow2(tmp_path / 'disk', **options))
    assert word in str(raised.value)


def test_no_node_of_the_graph_is_left_to_guess(tmp_path):
    raw(tmp_path / 'base')
    found = images.image_of(qcow2(tmp_path / 'top', b'base', b'raw'))
    assert found.graph['driver'] == 'qcow2' and found.graph['read-only'] is True
    assert images.image_of(qcow2(tmp_path / 'alone')).graph['backing'] is None


@pytest.mark.parametrize('extent', ['/etc/passwd', '../x', 'c:x', 'missing.vmdk'])
def test_extents_of_a_vmdk_outside_its_folder_are_refused(tmp_path, extent):
    (tmp_path / 'disk.vmdk').write_text('# Disk DescriptorFile\nversion=1\nRW 2048 FLAT "%s" 0\n' % extent)
    with pytest.raises(LifeboatError):
        images.image_of(str(tmp_path / 'disk.vmdk'))


def test_extents_of_a_vmdk(tmp_path):
    part = raw(tmp_path / 'disk-f001.vmdk')
    (tmp_path / 'disk.vmdk').write_text('# Disk DescriptorFile\nversion=1\nRW 2048 FLAT "disk-f001.vmdk" 0\nRW 2048 ZERO\n')
    assert images.image_of(str(tmp_path / 'disk.vmdk')).files[1:] == (part,)


@pytest.mark.parametrize('names', [['d.img.001', 'd.img.002', 'd.img.003'], ['d.000', 'd.001'], ['x.aa', 'x.ab'], ['x.01', 'x.02']])
def test_pieces_of_a_disk(tmp_path, names):
    paths = [raw(tmp_path / name) for name in names]
    found = images.image_of(paths[0])
    assert found.files == tuple(paths)
    assert images.joined(found.files).count(' FLAT ') == len(names)
    raw(tmp_path / 'whole.img')
    assert len(images.image_of(str(tmp_path / 'whole.img')).files) == 1


def test_no_piece_of_a_disk_breaks_out_of_the_descriptor(tmp_path):
    with pytest.raises(LifeboatError):
        images.joined((raw(tmp_path / 'a"b'),))
    with pytest.raises(LifeboatError):
        images.joined((raw(tmp_path / 'odd', 700),))

"""Numbers of tar headers: the same for whatever reads a tar."""
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import tarnumber, tarsplit_write


@pytest.mark.parametrize('value', [0, 1, 0o7777777, 1 << 24, (1 << 33) - 1, 1 << 33, 1 << 62, -1, -(1 << 40)])
@pytest.mark.parametrize('width', [8, 12])
def test_what_pythons_tarfile_writes(value, width):
    try:
        field = tarfile.itn(value, width, tarfile.GNU_FORMAT)
    except ValueError:
        assert abs(value) >= 256 ** (width - 1)
        return
    assert tarnumber.number(field) == value


@pytest.mark.parametrize('field, value', [(bytes(12), 0), (b'            ', 0), (b'0000644\0', 0o644), (b'   644 \0', 0o644), (b'\xff' * 12, -1)])
def test_forms(field, value):
    assert tarnumber.number(field) == value


@pytest.mark.parametrize('field', [b'00000000-36\0', b'0o000000017\0', b'0000000_017\0', b'000000008 \0 ', b'+0000000017\0', b'12 34\0\0'])
def test_neither_form(field):
    assert tarnumber.number(field) is None


@pytest.mark.parametrize('size', [b'00000000-36\0', b'0o000000017\0', b'\xff' * 12])
def test_a_layer_with_such_a_size_has_no_tar_split_data(size):
    header = bytearray(tarfile.TarInfo('one').tobuf())
    header[124:136] = size
    with pytest.raises(tarsplit_write.NotSplit):
        tarsplit_write.packed([bytes(header), bytes(2048)])

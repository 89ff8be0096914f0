"""Partition tables: what they say, what they only claim, and what hostile ones may not do."""
import random
import uuid

import disktable
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import partitions

MIB = 1 << 20
SIZE = 64 * MIB
ONE, TWO = uuid.UUID(int=0x1111), uuid.UUID(int=0x2222)


def table(path, size=None):
    raw = path.read_bytes()
    return partitions.table_of(lambda offset, number: raw[max(0, offset):offset + number] if offset >= 0 else b'', size or len(raw))


@pytest.fixture(name='disk')
def empty_disk(tmp_path):
    path = tmp_path / 'disk.img'
    with open(str(path), 'wb') as out:
        out.truncate(SIZE)
    return path


def gpt(disk, sector=512):
    disktable.write_gpt(str(disk), [(MIB, 20 * MIB, ONE, 'root'), (32 * MIB, 8 * MIB, TWO, 'var')], sector)


@pytest.mark.parametrize('sector', [512, 4096])
def test_gpt(disk, sector):
    gpt(disk, sector)
    found = table(disk)
    assert (found.kind, found.damage) == ('gpt', '')
    assert [(each.number, each.start, each.size, each.uuid, each.name) for each in found.partitions] == [
        (1, MIB, 20 * MIB, str(ONE), 'root'), (2, 32 * MIB, 8 * MIB, str(TWO), 'var')]


@pytest.mark.parametrize('where', [512 + 20, 1024 + 40])
def test_a_damaged_gpt_is_read_from_its_backup(disk, where):
    gpt(disk)
    whole = table(disk).partitions
    raw = bytearray(disk.read_bytes())
    raw[where] ^= 0xff
    disk.write_bytes(bytes(raw))
    found = table(disk)
    assert found.partitions == whole and 'backup' in found.damage


def test_a_gpt_that_is_damaged_twice_is_said_and_never_taken_for_an_mbr(disk):
    gpt(disk)
    raw = bytearray(disk.read_bytes())
    raw[540] ^= 0xff
    raw[-512 + 60] ^= 0xff
    disk.write_bytes(bytes(raw))
    found = table(disk)
    assert found.kind == 'gpt' and not found.partitions and 'damaged' in found.damage


def test_partitions_beyond_the_end_of_a_cut_disk(disk):
    gpt(disk)
    found = table(disk, 30 * MIB)
    assert [each.number for each in found.partitions] == [1] and 'cut off' in found.damage


def test_mbr_with_logical_partitions(disk):
    raw = bytearray(disk.read_bytes())
    raw[:512] = disktable.mbr([(0x80, 0x83, 2048, 4096), (0, 0x05, 8192, 40000)])
    raw[8192 * 512:8192 * 512 + 512] = disktable.mbr([(0, 0x83, 63, 1000), (0, 0x05, 2000, 3000)])
    raw[10192 * 512:10192 * 512 + 512] = disktable.mbr([(0, 0x8e, 63, 2000)])
    disk.write_bytes(bytes(raw))
    found = table(disk)
    assert found.kind == 'mbr' and not found.damage
    assert [(each.number, each.start // 512, each.size // 512, each.type, each.uuid) for each in found.partitions] == [
        (1, 2048, 4096, '0x83', '1234abcd-01'), (5, 8192 + 63, 1000, '0x83', '1234abcd-05'), (6, 10192 + 63, 2000, '0x8e', '1234abcd-06')]


def test_logical_partitions_in_a_circle_end(disk):
    raw = bytearray(disk.read_bytes())
    raw[:512] = disktable.mbr([(0, 0x0f, 8192, 40000)])
    raw[8192 * 512:8192 * 512 + 512] = disktable.mbr([(0, 0x83, 63, 1000), (0, 0x05, 0, 3000)])
    disk.write_bytes(bytes(raw))
    assert len(table(disk).partitions) == 1


def test_a_file_system_is_no_table(disk):
    assert table(disk) == partitions.NONE
    raw = bytearray(disk.read_bytes())
    raw[:512] = disktable.mbr([(0x80, 0x83, 2048, 4096)])
    raw[82:90] = b'FAT32   '
    disk.write_bytes(bytes(raw))
    assert table(disk) == partitions.NONE
    raw[82:90] = bytes(8)
    raw[446] = 0x17                     # no boot indicator: code that ends like a table
    disk.write_bytes(bytes(raw))
    assert table(disk) == partitions.NONE


def test_any_bytes_end_quickly_and_stay_inside(disk):
    gpt(disk)
    chance = random.Random(5)
    good = disk.read_bytes()
    for dummy in range(300):
        raw = bytearray(good[:64 << 10])
        for dummy in range(chance.randrange(1, 20)):
            raw[chance.randrange(400, 2048)] = chance.randrange(256)
        found = partitions.table_of(lambda offset, number, raw=raw: bytes(raw[offset:offset + number]) if offset >= 0 else b'', SIZE)
        assert all(each.start > 0 and each.start + each.size <= SIZE for each in found.partitions)

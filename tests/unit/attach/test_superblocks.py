"""Superblocks as bytes; tests/kernel compares those of real file systems with what blkid says."""
import random
import struct
import uuid

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.attach import superblocks

SIZE = 4 << 20
IDENT = uuid.UUID(int=0x77)


def identify(pieces, size=SIZE):
    """PIECES: {offset: bytes}"""
    raw = bytearray(size)
    for where, piece in pieces.items():
        raw[where:where + len(piece)] = piece
    return superblocks.identify(lambda offset, number: bytes(raw[offset:offset + number]) if offset >= 0 else b'', size)


def ext(compat=4, incompat=0x42, ro_compat=1):
    block = bytearray(1024)
    block[56:58] = b'\x53\xef'
    struct.pack_into('<III', block, 92, compat, incompat, ro_compat)
    block[104:120] = IDENT.bytes
    block[120:125] = b'label'
    return {1024: bytes(block)}


@pytest.mark.parametrize('features, kind, journal', [
    ((4, 0x42, 1), 'ext4', 'clean'), ((4, 0x46, 1), 'ext4', 'dirty'), ((4, 0x06, 1), 'ext3', 'dirty'), ((0, 0x02, 1), 'ext2', 'none'),
    ((0, 0x42, 1), 'ext4', 'none'), ((0, 0x8, 0), 'jbd', 'unknown')])
def test_ext(features, kind, journal):
    found = identify(ext(*features))
    assert (found.kind, found.journal, found.uuid, found.label) == (kind, journal, str(IDENT), 'label')


def test_md_members_at_each_place_win_over_the_file_system_that_they_show():
    block = bytearray(256)
    struct.pack_into('<II', block, 0, 0xa92b4efc, 1)
    block[16:32] = IDENT.bytes
    block[32:40] = b'dead:one'
    struct.pack_into('<i', block, 72, 1)
    struct.pack_into('<I', block, 92, 2)
    for where in (0, 4096, SIZE - 8192):
        pieces = dict(ext())
        pieces[where] = bytes(block)
        found = identify(pieces)
        assert (found.kind, found.devices, found.label, found.level) == ('linux_raid_member', 2, 'dead:one', 1)


def test_lvm_luks_and_others():
    label = bytearray(512)
    label[:8], label[24:32] = b'LABELONE', b'LVM2 001'
    struct.pack_into('<I', label, 20, 32)
    label[32:64] = b'0123456789abcdef0123456789ABCDEF'
    assert identify({512: bytes(label)}).uuid == '012345-6789-abcd-ef01-2345-6789-ABCDEF'
    luks = bytearray(512)
    luks[:8] = b'LUKS\xba\xbe\0\2'
    luks[168:204] = str(IDENT).encode()
    assert identify({0: bytes(luks)}).kind == 'crypto_LUKS'
    assert identify({3: b'NTFS    '}).kind == 'ntfs'
    assert identify({131072 + 2048: struct.pack('<Q', 0x00bab10c)}).kind == 'zfs_member'
    assert identify({}) is None


def test_any_bytes_and_any_size():
    chance = random.Random(3)
    block = ext()[1024]
    for size in (0, 1, 511, 1025, 1100, 4096, 65600, 200000):
        raw = bytes(chance.randrange(256) for dummy in range(min(size, 5000))) + block
        superblocks.identify(lambda offset, number, raw=raw: raw[offset:offset + number] if offset >= 0 else b'', size)
    for dummy in range(200):
        mixed = bytearray(block)
        for dummy in range(30):
            mixed[chance.randrange(1024)] = chance.randrange(256)
        identify({1024: bytes(mixed)}, 1 << 17)

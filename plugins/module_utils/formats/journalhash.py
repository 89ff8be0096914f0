"""The two hash functions of systemd's journal files, and the LZ4 blocks in them.

SipHash-2-4 (Aumasson, Bernstein), keyed by the id of the file, since systemd 246; Jenkins' lookup3 before, and for the hash of whole entries.
"""
import struct
from typing import Tuple

_M32, _M64 = 0xffffffff, 0xffffffffffffffff


def siphash24(data: bytes, key: bytes) -> int:
    """SipHash-2-4 of DATA with a KEY of 16 bytes, as a number of 64 bits."""
    k0, k1 = struct.unpack('<QQ', key)
    v0, v1, v2, v3 = k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573
    tail = len(data) & ~7
    words = struct.unpack('<%dQ' % (tail >> 3), data[:tail]) + (int.from_bytes(data[tail:], 'little') | (len(data) & 0xff) << 56,)
    for word, rounds in [(word, 2) for word in words] + [(0, 4)]:
        if rounds == 4:
            v2 ^= 0xff
        v3 ^= word
        for dummy in range(rounds):
            v0 = v0 + v1 & _M64
            v1 = (v1 << 13 | v1 >> 51) & _M64 ^ v0
            v0 = (v0 << 32 | v0 >> 32) & _M64
            v2 = v2 + v3 & _M64
            v3 = (v3 << 16 | v3 >> 48) & _M64 ^ v2
            v0 = v0 + v3 & _M64
            v3 = (v3 << 21 | v3 >> 43) & _M64 ^ v0
            v2 = v2 + v1 & _M64
            v1 = (v1 << 17 | v1 >> 47) & _M64 ^ v2
            v2 = (v2 << 32 | v2 >> 32) & _M64
        v0 ^= word
    return v0 ^ v1 ^ v2 ^ v3


def _rot(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _M32


def lookup3(data: bytes) -> int:
    """Jenkins' hashlittle2 of DATA, its first number in the higher 32 bits."""
    a = b = c = 0xdeadbeef + len(data) & _M32
    if not data:
        return c << 32 | b
    last = (len(data) - 1) // 12 * 12
    for x, y, z in struct.iter_unpack('<III', data[:last]):
        a, b, c = a + x & _M32, b + y & _M32, c + z & _M32
        a = (a - c & _M32) ^ _rot(c, 4)
        c = c + b & _M32
        b = (b - a & _M32) ^ _rot(a, 6)
        a = a + c & _M32
        c = (c - b & _M32) ^ _rot(b, 8)
        b = b + a & _M32
        a = (a - c & _M32) ^ _rot(c, 16)
        c = c + b & _M32
        b = (b - a & _M32) ^ _rot(a, 19)
        a = a + c & _M32
        c = (c - b & _M32) ^ _rot(b, 4)
        b = b + a & _M32
    x, y, z = struct.unpack('<III', data[last:].ljust(12, b'\0'))
    a, b, c = a + x & _M32, b + y & _M32, c + z & _M32
    c = ((c ^ b) - _rot(b, 14)) & _M32
    a = ((a ^ c) - _rot(c, 11)) & _M32
    b = ((b ^ a) - _rot(a, 25)) & _M32
    c = ((c ^ b) - _rot(b, 16)) & _M32
    a = ((a ^ c) - _rot(c, 4)) & _M32
    b = ((b ^ a) - _rot(a, 14)) & _M32
    c = ((c ^ b) - _rot(b, 24)) & _M32
    return c << 32 | b


def unlz4(block: bytes, size: int) -> bytes:
    """The SIZE bytes that an LZ4 BLOCK holds. ValueError if it does not hold just that."""
    out = bytearray()
    pos, end = 0, len(block)
    try:
        while pos < end:
            token = block[pos]
            literals, pos = _length(block, pos + 1, token >> 4)
            if literals > end - pos:
                raise ValueError('it is cut')
            out += block[pos:pos + literals]
            pos += literals
            if pos == end:              # the last sequence has no match
                break
            back = block[pos] | block[pos + 1] << 8
            match, pos = _length(block, pos + 2, token & 15)
            match += 4
            if not 0 < back <= len(out) or len(out) + match > size:
                raise ValueError('a match lies outside')
            if back >= match:
                start = len(out) - back
                out += out[start:start + match]
            else:                       # it reads what it writes
                out += (bytes(out[-back:]) * (match // back + 1))[:match]
    except IndexError:
        raise ValueError('it is cut')
    if len(out) != size:
        raise ValueError('its size is another')
    return bytes(out)


def _length(block: bytes, pos: int, nibble: int) -> Tuple[int, int]:
    """(length, position behind it): 15 goes on in the bytes that follow."""
    if nibble == 15:
        while True:
            more = block[pos]
            pos += 1
            nibble += more
            if more != 255:
                break
    return nibble, pos

"""secretbox of NaCl: XSalsa20 and Poly1305, opened only, never sealed.

Written after "Extending the Salsa20 nonce" and "Cryptography in NaCl" (D. J. Bernstein). Python is slow at single words, so 128 blocks of
the stream are made at once: each word of the state is one large number that holds that word of every block, in lanes of 64 bits.
Time depends on the data. That is of no concern here: whoever measures it has the disk with the key already.
"""
import hmac
from typing import Dict, List, Sequence, Tuple

KEY, NONCE, TAG = 32, 24, 16            # bytes
LANES = 128                             # blocks that are made at once
BLOCK = 64                              # bytes of a block
_SIGMA = (0x61707865, 0x3320646e, 0x79622d32, 0x6b206574)
# (word that changes, the two that are added, by how many bits it is turned): one column round, one row round
_QUARTERS = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11), (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))
_PRIME = (1 << 130) - 5
_CLAMP = 0x0ffffffc0ffffffc0ffffffc0fffffff


def open_box(box: bytes, nonce: bytes, key: bytes) -> bytes:
    """The text in BOX. ValueError where KEY is not the right one, or BOX is not what was sealed."""
    if len(key) != KEY or len(nonce) != NONCE or len(box) < TAG:
        raise ValueError('not the length of a sealed text, of its nonce or of its key')
    tag, sealed = box[:TAG], box[TAG:]
    stream = xsalsa20(KEY + len(sealed), nonce, key)
    if not hmac.compare_digest(poly1305(sealed, stream[:KEY]), tag):
        raise ValueError('the key does not fit, or the text was changed')
    return _xor(sealed, stream[KEY:])


def xsalsa20(length: int, nonce: bytes, key: bytes) -> bytes:
    """LENGTH bytes of the stream of XSalsa20 for a nonce of 24 and a key of 32 bytes."""
    return _salsa20(length, nonce[16:], hsalsa20(nonce[:16], key))


def hsalsa20(block: bytes, key: bytes) -> bytes:
    """The key (32 bytes) that HSalsa20 makes of 16 bytes and a key."""
    words = _state(key, _words(block))
    _rounds(words, 0xffffffff)
    return b''.join(words[index].to_bytes(4, 'little') for index in (0, 5, 10, 15, 6, 7, 8, 9))


def poly1305(message: bytes, key: bytes) -> bytes:
    """The tag (16 bytes) of MESSAGE under a key of 32 bytes."""
    factor, total = int.from_bytes(key[:16], 'little') & _CLAMP, 0
    for start in range(0, len(message), 16):
        total = (total + int.from_bytes(message[start:start + 16] + b'\1', 'little')) * factor % _PRIME
    return ((total + int.from_bytes(key[16:32], 'little')) & ((1 << 128) - 1)).to_bytes(16, 'little')


def _salsa20(length: int, nonce: bytes, key: bytes) -> bytes:
    blocks = -(-length // BLOCK)
    found = []
    for first in range(0, blocks, LANES):
        found.append(_blocks(first, min(LANES, blocks - first), nonce, key))
    return b''.join(found)[:length]


def _blocks(first: int, count: int, nonce: bytes, key: bytes) -> bytes:
    """COUNT blocks of the stream from the block FIRST on."""
    ones, mask = _lanes(count)
    low, high = (b''.join((number >> shift & 0xffffffff).to_bytes(8, 'little') for number in range(first, first + count)) for shift in (0, 32))
    words = [word * ones for word in _state(key, _words(nonce) + [0, 0])]
    words[8], words[9] = int.from_bytes(low, 'little'), int.from_bytes(high, 'little')
    start = list(words)
    _rounds(words, mask)
    stream = bytearray(BLOCK * count)
    for index, word in enumerate(words):
        lanes = ((word + start[index]) & mask).to_bytes(8 * count, 'little')
        for byte in range(4):
            stream[4 * index + byte::BLOCK] = lanes[byte::8]
    return bytes(stream)


def _rounds(words: List[int], mask: int) -> None:
    """The twenty rounds, in place."""
    for dummy in range(10):
        for one, two, three, four in _QUARTERS:
            turned = (words[one] + words[four]) & mask
            words[two] ^= (turned << 7 | turned >> 25) & mask
            turned = (words[two] + words[one]) & mask
            words[three] ^= (turned << 9 | turned >> 23) & mask
            turned = (words[three] + words[two]) & mask
            words[four] ^= (turned << 13 | turned >> 19) & mask
            turned = (words[four] + words[three]) & mask
            words[one] ^= (turned << 18 | turned >> 14) & mask


def _state(key: bytes, middle: Sequence[int]) -> List[int]:
    """The sixteen words before the rounds; MIDDLE are the words 6 to 9."""
    half = _words(key)
    return [_SIGMA[0]] + half[:4] + [_SIGMA[1]] + list(middle) + [_SIGMA[2]] + half[4:] + [_SIGMA[3]]


_KNOWN: Dict[int, Tuple[int, int]] = {}


def _lanes(count: int) -> Tuple[int, int]:
    """(1 in every lane, 32 bits in every lane)."""
    if count not in _KNOWN:
        ones = int.from_bytes(b'\1\0\0\0\0\0\0\0' * count, 'little')
        _KNOWN[count] = (ones, ones * 0xffffffff)
    return _KNOWN[count]


def _words(raw: bytes) -> List[int]:
    return [int.from_bytes(raw[start:start + 4], 'little') for start in range(0, len(raw), 4)]


def _xor(one: bytes, two: bytes) -> bytes:
    return (int.from_bytes(one, 'little') ^ int.from_bytes(two, 'little')).to_bytes(len(one), 'little')

"""Fernet tokens, opened only: AES-128 in CBC mode and HMAC with SHA-256.

After the Fernet specification (github.com/fernet/spec) and FIPS 197. The standard library has no AES.
"""
import base64
import binascii
import hashlib
import hmac
from typing import List, Tuple

KEY = 32                                # bytes: 16 to sign, 16 to encrypt
VERSION = 0x80
HEAD, TAG, BLOCK = 25, 32, 16           # version, time and vector; HMAC; AES
ROUNDS = 10
# what InvShiftRows takes for each byte of the state
_FROM = tuple((index - 4 * (index % 4)) % 16 for index in range(16))


def open_token(token: bytes, key: bytes) -> bytes:
    """The text in TOKEN (base64, as it is stored). Its age does not matter. ValueError where KEY (32 bytes) is not the right one, or the token
    is not what was made."""
    try:
        raw = base64.b64decode(token.replace(b'-', b'+').replace(b'_', b'/') + b'=' * (-len(token) % 4), validate=True)
    except binascii.Error:
        raise ValueError('no Fernet token')
    if len(key) != KEY or len(raw) < HEAD + BLOCK + TAG or (len(raw) - HEAD - TAG) % BLOCK or raw[0] != VERSION:
        raise ValueError('not the length or the version of a Fernet token, or of its key')
    signed, tag = raw[:-TAG], raw[-TAG:]
    if not hmac.compare_digest(hmac.new(key[:16], signed, hashlib.sha256).digest(), tag):
        raise ValueError('the key does not fit, or the token was changed')
    text = _cbc(signed[HEAD:], signed[9:HEAD], key[16:])
    padding = text[-1]
    if not 0 < padding <= BLOCK or text[-padding:] != bytes([padding]) * padding:
        raise ValueError('the padding of the text is damaged')
    return text[:-padding]


def _cbc(data: bytes, vector: bytes, key: bytes) -> bytes:
    keys = round_keys(key)
    found = []
    for start in range(0, len(data), BLOCK):
        block = data[start:start + BLOCK]
        found.append(bytes(one ^ two for one, two in zip(decrypt_block(block, keys), vector)))
        vector = block
    return b''.join(found)


def decrypt_block(block: bytes, keys: List[bytes]) -> bytes:
    """The 16 bytes that AES-128 made BLOCK of. KEYS: round_keys()."""
    inverse, products = _INVERSE, _PRODUCTS
    state = [one ^ two for one, two in zip(block, keys[ROUNDS])]
    for number in range(ROUNDS - 1, -1, -1):
        state = [inverse[state[index]] ^ byte for index, byte in zip(_FROM, keys[number])]
        if number:
            state = [products[0][state[column + row]] ^ products[1][state[column + (row + 1) % 4]] ^ products[2][state[column + (row + 2) % 4]]
                     ^ products[3][state[column + (row + 3) % 4]] for column in (0, 4, 8, 12) for row in range(4)]
    return bytes(state)


def round_keys(key: bytes) -> List[bytes]:
    """The eleven keys of the rounds that AES-128 makes of a key of 16 bytes."""
    words = [list(key[start:start + 4]) for start in (0, 4, 8, 12)]
    constant = 1
    for index in range(4, 4 * (ROUNDS + 1)):
        word = list(words[-1])
        if index % 4 == 0:
            word = [_BOX[byte] for byte in word[1:] + word[:1]]
            word[0] ^= constant
            constant = _times(constant, 2)
        words.append([one ^ two for one, two in zip(words[index - 4], word)])
    return [bytes(sum(words[start:start + 4], [])) for start in range(0, len(words), 4)]


def _times(one: int, two: int) -> int:
    """The product in the field of AES."""
    found = 0
    while two:
        if two & 1:
            found ^= one
        one = one << 1 ^ (0x11b if one & 0x80 else 0)
        two >>= 1
    return found


def _boxes() -> Tuple[List[int], List[int]]:
    """(S-box, its inverse)."""
    box, inverse = [0] * 256, [0] * 256
    reciprocal = {}
    power, back = 1, 1                  # powers of 3, and of its reciprocal
    for dummy in range(255):
        reciprocal[power] = back
        power, back = _times(power, 3), _times(back, 0xf6)
    for byte in range(256):
        value = reciprocal.get(byte, 0)
        turned = 0x63
        for turn in range(5):
            turned ^= (value << turn | value >> (8 - turn)) & 0xff
        box[byte], inverse[turned] = turned, byte
    return box, inverse


_BOX, _INVERSE = _boxes()
_PRODUCTS = tuple([_times(byte, factor) for byte in range(256)] for factor in (14, 11, 13, 9))

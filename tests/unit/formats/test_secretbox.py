"""secretbox against the vectors that are published with NaCl ("Cryptography in NaCl", sections 8 to 10) and with RFC 8439."""
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import secretbox

KEY = bytes.fromhex('1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389')
NONCE = bytes.fromhex('69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37')
TEXT = bytes.fromhex(
    'be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46'
    'f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705')
BOX = bytes.fromhex(
    'f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b92'
    '8fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f65'
    '4cb45a74e355a5')


def test_the_box_of_the_paper_opens():
    assert secretbox.open_box(BOX, NONCE, KEY) == TEXT


def test_the_derived_key_of_the_paper():
    assert secretbox.hsalsa20(NONCE[:16], KEY).hex() == 'dc908dda0b9344a953629b733820778880f3ceb421bb61b91cbd4c3e66256ce4'


def test_poly1305_of_the_rfc():
    key = bytes.fromhex('85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b')
    assert secretbox.poly1305(b'Cryptographic Forum Research Group', key).hex() == 'a8061dc1305136c6c22b8baf0c0127a9'


@pytest.mark.parametrize('position', [0, 15, 16, len(BOX) - 1])
def test_a_changed_byte_is_seen(position):
    changed = bytearray(BOX)
    changed[position] ^= 1
    with pytest.raises(ValueError):
        secretbox.open_box(bytes(changed), NONCE, KEY)


@pytest.mark.parametrize('box, nonce, key', [(BOX[:15], NONCE, KEY), (BOX, NONCE[1:], KEY), (BOX, NONCE, KEY[1:]), (BOX, NONCE, KEY[::-1])])
def test_what_is_too_short_or_the_wrong_key(box, nonce, key):
    with pytest.raises(ValueError):
        secretbox.open_box(box, nonce, key)


def test_a_long_stream_begins_as_a_short_one():
    """Blocks are made many at once: their counters must go on over the edges."""
    long = secretbox.xsalsa20(3 * 64 * secretbox.LANES + 5, NONCE, KEY)
    assert len(long) == 3 * 64 * secretbox.LANES + 5
    assert long[:100] == secretbox.xsalsa20(100, NONCE, KEY)
    assert len({long[start:start + 64] for start in range(0, len(long), 64)}) == 3 * secretbox.LANES + 1

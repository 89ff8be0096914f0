import gzip
import io

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import gunzip

TEXT = b''.join(b'%d,' % number for number in range(200000))


def contents(raw):
    return b''.join(gunzip.contents(io.BytesIO(raw)))


def test_plain_files_are_passed_through():
    for raw in (b'', b'\x1f', b'\x1e\x8b plain', TEXT):
        assert contents(raw) == raw


def test_gzip_files_are_unpacked_in_small_pieces():
    pieces = list(gunzip.contents(io.BytesIO(gzip.compress(TEXT + bytes(5000000)))))
    assert b''.join(pieces) == TEXT + bytes(5000000)
    assert max(map(len, pieces)) <= 256 * 1024


def test_several_members_and_padding():
    two = gzip.compress(b'one') + gzip.compress(b'two')
    assert contents(two) == b'onetwo'
    assert contents(two + bytes(1000)) == b'onetwo'
    assert contents(gzip.compress(b'')) == b''


@pytest.mark.parametrize('raw,words', [
    (gzip.compress(TEXT)[:-1], 'cut off after %d bytes' % len(TEXT)),
    (gzip.compress(b'one') + gzip.compress(b'two')[:-3], 'cut off after 6 bytes'),
    (gzip.compress(b'one') + gzip.compress(b'two')[:4], 'cut off after 3 bytes'),
    (gzip.compress(b'one')[:5], 'cut off after 0 bytes'),
    (b'\x1f\x8b', 'cut off after 0 bytes'),
    (b'\x1f\x8b rubbish', 'damaged after 0 bytes'),
    (gzip.compress(b'one') + b'rubbish', 'damaged after 3 bytes'),
    (gzip.compress(b'one')[:-8] + b'badcrc..', 'damaged after'),
])
def test_damage_is_reported_behind_everything_that_could_be_read(raw, words):
    found = []
    with pytest.raises(gunzip.GunzipError) as failure:
        for piece in gunzip.contents(io.BytesIO(raw)):
            found.append(piece)
    assert words in str(failure.value)
    if 'after %d bytes' % len(TEXT) in words:
        assert b''.join(found) == TEXT

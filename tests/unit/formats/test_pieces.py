"""Bytes that come in pieces."""
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import pieces


@pytest.mark.parametrize('pieces_, size, result', [
    ([], 4, []), ([b'a', b'b'], 4, [b'ab']), ([b'a', b'bcd', b'e'], 4, [b'abcd', b'e']), ([b'a', b'12345', b'b'], 4, [b'a', b'12345', b'b']),
    ([b'1234', b'5678'], 4, [b'1234', b'5678']), ([b'ab', b'cde', b'f'], 4, [b'abcde', b'f'])])
def test_small_pieces_are_joined(pieces_, size, result):
    assert list(pieces.joined(pieces_, size)) == result

"""Messages on the wire: the examples of the documentation, and bytes that somebody else made."""
import random

import deadswarm
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import protobuf
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.protobuf import Damaged, Message


def test_the_examples_of_the_documentation():
    assert Message(bytes.fromhex('089601')).number(1) == 150
    assert Message(bytes.fromhex('120774657374696e67')).text(2) == 'testing'
    assert Message(bytes.fromhex('1a03089601')).message(3).number(1) == 150


def test_what_is_absent_has_its_default():
    empty = Message(b'')
    assert (empty.number(1), empty.text(1), empty.raw(1), empty.texts(1), empty.mapping(1), empty.flag(1), empty.maybe(1), empty.has(1)) == (
        0, '', b'', [], {}, False, None, False)


def test_the_last_value_counts_and_another_type_is_absent():
    found = Message(deadswarm.message((1, 5), (1, 6), (1, 'text'), (2, 'a'), (2, 'b')))
    assert (found.number(1), found.text(1), found.texts(2)) == (6, 'text', ['a', 'b'])


def test_negative_numbers_fractions_and_maps():
    assert Message(deadswarm.message((1, -5))).signed(1) == -5
    assert Message(bytes.fromhex('0d0000403f')).float32(1) == 0.75
    assert Message(deadswarm.message((2, deadswarm.mapping(b='2', a='1')))).mapping(2) == {'a': '1', 'b': '2'}


@pytest.mark.parametrize('raw', [
    '08', '0896', '08' + 'ff' * 11, '12ff', '12ffffffffffffffffff0100', '0b', '0c', '0f', '0d0000', '09' + '00' * 7, '00', '0200'])
def test_damage_is_said(raw):
    with pytest.raises(Damaged):
        Message(bytes.fromhex(raw))


def test_bytes_by_chance_are_read_or_refused():
    chance = random.Random(7)
    for dummy in range(2000):
        raw = bytes(chance.getrandbits(8) for dummy in range(chance.randrange(60)))
        try:
            found = Message(raw)
            for key in range(1, 20):
                found.number(key), found.texts(key), found.signed(key), found.float32(key)
                found.maybe(key)
        except Damaged:
            continue


def test_a_number_is_cut_to_64_bits():
    assert protobuf.varint(b'\xff' * 9 + b'\x7f', 0) == ((1 << 64) - 1, 10)

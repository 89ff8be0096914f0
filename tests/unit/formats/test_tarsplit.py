import base64
import gzip
import hashlib
import io
import json
import os
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import tarsplit
from ansible_collections.lifeboat.docker.tests.unit.formats import genuine

LONG = b'long/' + b'x' * 120 + b'/' + b'y' * 120


@pytest.fixture(scope='module')
def layer():
    """A layer's tar that was given to a real engine: its bytes, and {name: content} of its files."""
    raw = genuine.unpacked('odd.tar.gz')
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(raw), encoding='utf-8', errors='surrogateescape') as archive:
        for member in archive:
            if member.isreg():
                contents[os.fsencode(member.name)] = archive.extractfile(member).read()
    return raw, contents


def split_file():
    return io.BytesIO(genuine.raw('odd.tar-split.json.gz'))


def opener(contents, piece=1000):
    def open_file(name, size):
        if name.startswith(b'./'):
            name = name[2:]
        found = contents.get(name, contents.get(b'./' + name))
        if found is None:
            raise FileNotFoundError(2, 'No such file or directory')
        return (found[start:start + piece] for start in range(0, len(found), piece))
    return open_file


def lines(*values):
    """A tar-split file of these entries."""
    return b''.join(json.dumps(dict(value, position=number)).encode() + b'\n' for number, value in enumerate(values))


def segment(data):
    return {'type': 2, 'payload': base64.b64encode(data).decode()}


def a_file(name, content):
    return {'type': 1, 'name': name, 'size': len(content),
            'payload': base64.b64encode(tarsplit.crc64(content).to_bytes(8, 'big')).decode()}


def together(raw, contents, **options):
    return b''.join(tarsplit.assemble(io.BytesIO(raw), opener(contents), **options))


# ---- what a real engine wrote

def test_a_genuine_layer_is_put_together_bit_by_bit(layer):
    raw, contents = layer
    for damages in (None, []):
        pieces = list(tarsplit.assemble(split_file(), opener(contents), damages=damages))
        assert hashlib.sha256(b''.join(pieces)).hexdigest() == hashlib.sha256(raw).hexdigest()
        assert not damages


def test_genuine_entries(layer):
    found = list(tarsplit.entries(split_file()))
    files = {entry.name: entry for entry in found if isinstance(entry, tarsplit.File)}
    assert len(found) == 31
    assert files[b'etc/passwd'].size == 22 and files[b'etc/empty'] == tarsplit.File(b'etc/empty', 0, None)
    assert {b'latin-\xe4', b'umlaut-\xc3\xa4', b'new\nline', b'./dotted', LONG, b'etc/hard'} <= set(files)
    for name, content in layer[1].items():
        if content:
            entry = files.get(name) or files[b'./' + name]
            assert entry.crc == tarsplit.crc64(content).to_bytes(8, 'big')
    sizes = [len(entry.data) if isinstance(entry, tarsplit.Segment) else entry.size for entry in found]
    assert sum(sizes) == len(layer[0])


@pytest.mark.parametrize('change,kind', [
    (lambda content: None, 'missing'),
    (lambda content: content[:-1], 'short'),
    (lambda content: b'', 'short'),
    (lambda content: content + b'!', 'long'),
    (lambda content: b'?' + content[1:], 'changed'),
    (lambda content: bytes(len(content)), 'changed'),
])
def test_a_damaged_file_is_named_and_all_else_keeps_its_place(layer, change, kind):
    raw, contents = layer
    hurt = dict(contents)
    hurt[b'big'] = change(contents[b'big'])
    if hurt[b'big'] is None:
        del hurt[b'big']
    damages = []
    out = b''.join(tarsplit.assemble(split_file(), opener(hurt), damages))
    assert [(damage.name, damage.kind) for damage in damages] == [(b'big', kind)]
    assert 'big' in damages[0].message
    assert len(out) == len(raw)
    start = raw.index(contents[b'big'])
    assert out[:start] == raw[:start] and out[start + 40000:] == raw[start + 40000:]
    assert (out == raw) == (kind == 'long')
    if kind != 'changed':
        with pytest.raises(tarsplit.TarSplitError) as failure:
            list(tarsplit.assemble(split_file(), opener(hurt)))
        assert failure.value.name == b'big'


def test_every_damaged_file_is_listed(layer):
    hurt = dict(layer[1])
    del hurt[b'suid'], hurt[LONG]
    hurt[b'block'] = b'\0' * 512
    damages = []
    list(tarsplit.assemble(split_file(), opener(hurt), damages))
    assert [(damage.name, damage.kind) for damage in damages] \
        == [(LONG, 'missing'), (b'block', 'changed'), (b'suid', 'missing')]


def test_a_file_that_fails_midway(layer):
    def open_file(name, size):
        for piece in opener(layer[1])(name, size):
            yield piece
            if name == b'big':
                raise OSError(5, 'Input/output error')

    damages = []
    out = b''.join(tarsplit.assemble(split_file(), open_file, damages))
    assert [(damage.kind, damage.message) for damage in damages] \
        == [('unreadable', 'big cannot be read after 1000 bytes: Input/output error')]
    assert len(out) == len(layer[0])


def test_a_file_that_turns_out_to_be_missing_when_it_is_read():
    def open_file(name, size):
        raise FileNotFoundError(2, 'No such file or directory')
        yield b''  # pylint: disable=unreachable

    damages = []
    assert b''.join(tarsplit.assemble(io.BytesIO(lines(a_file('a', b'abc'))), open_file, damages)) == bytes(3)
    assert [(damage.name, damage.kind) for damage in damages] == [(b'a', 'missing')]


def test_a_file_that_is_far_too_long_is_listed_once():
    damages = []
    raw = lines(a_file('a', b'abc'))
    out = b''.join(tarsplit.assemble(io.BytesIO(raw), lambda name, size: [b'ab', b'cd', b'ef', b'gh'], damages))
    assert out == b'abc' and [damage.kind for damage in damages] == ['long']


def test_checksums_are_compared_on_request_only(layer):
    hurt = dict(layer[1], block=b'')
    hurt[b'block'] = b'\0' * 512
    assert b''.join(tarsplit.assemble(split_file(), opener(hurt)))
    with pytest.raises(tarsplit.TarSplitError) as failure:
        list(tarsplit.assemble(split_file(), opener(hurt), crc=True))
    assert failure.value.name == b'block'
    damages = []
    list(tarsplit.assemble(split_file(), opener(hurt), damages, crc=False))
    assert damages == []


def test_the_file_is_closed():
    closed = []

    def open_file(name, size):
        try:
            yield b'abc'
            yield b'def'
        finally:
            closed.append(name)

    raw = lines(a_file('a', b'ab'), a_file('b', b'abcdef'))
    list(tarsplit.assemble(io.BytesIO(raw), open_file, []))
    assert closed == [b'a', b'b']


# ---- damage to the tar-split file

@pytest.mark.parametrize('size', [0, 1, 5, 10, 100, 700, 1500, 1534])
def test_a_cut_file_is_refused(layer, size):
    with pytest.raises(tarsplit.TarSplitError) as failure:
        list(tarsplit.assemble(io.BytesIO(genuine.raw('odd.tar-split.json.gz')[:size]), opener(layer[1])))
    assert failure.value.line >= 1


def test_a_damaged_gzip_is_refused(layer):
    raw = bytearray(genuine.raw('odd.tar-split.json.gz'))
    for position in (200, 900, len(raw) - 6):
        hurt = bytearray(raw)
        hurt[position] ^= 0x55
        with pytest.raises(tarsplit.TarSplitError) as failure:
            list(tarsplit.assemble(io.BytesIO(bytes(hurt)), opener(layer[1])))
        assert 'line' in str(failure.value)


def test_plain_and_gzip_are_the_same():
    plain = lines(segment(b'head'), a_file('a', b'abc'), segment(b'tail'))
    for raw in (plain, plain[:-1], gzip.compress(plain), gzip.compress(plain[:20]) + gzip.compress(plain[20:])):
        assert together(raw, {b'a': b'abc'}) == b'headabctail'


GOOD = a_file('a', b'abc')


@pytest.mark.parametrize('entry', [
    {'type': 3}, {}, [], 5, None, 'x',
    {'type': 2, 'payload': '***'}, {'type': 2, 'payload': 5}, {'type': 2, 'payload': {}},
    dict(GOOD, size=-1), dict(GOOD, size='3'), dict(GOOD, size=True), dict(GOOD, size=2 ** 63), dict(GOOD, size=1.5),
    dict(GOOD, payload='AAAA'), dict(GOOD, name=5), dict(GOOD, name_raw='*'), dict(GOOD, position=7),
    dict(GOOD, position='1'),
])
def test_a_line_that_is_no_entry_is_named(entry):
    if isinstance(entry, dict):
        entry = dict({'position': 1}, **entry)
    raw = lines(segment(b'head')) + json.dumps(entry).encode()
    with pytest.raises(tarsplit.TarSplitError) as failure:
        together(raw, {b'a': b'abc'})
    assert failure.value.line == 2 and 'line 2' in str(failure.value)


def test_a_missing_line_is_noticed():
    whole = lines(segment(b'1'), segment(b'2'), segment(b'3')).splitlines(True)
    with pytest.raises(tarsplit.TarSplitError):
        together(whole[0] + whole[2], {})


def test_names():
    raw = lines({'type': 1, 'name': 'caf\xe9 \u2028'}, {'type': 1, 'name_raw': base64.b64encode(b'\xff\0').decode()},
                {'type': 1, 'name': '\ud800'})
    assert [entry.name for entry in tarsplit.entries(io.BytesIO(raw))] \
        == ['caf\xe9 \u2028'.encode('utf-8'), b'\xff\0', b'\xef\xbf\xbd']


def test_an_absurd_size_does_not_fill_the_disk():
    raw = lines(dict(GOOD, size=2 ** 62))
    out = tarsplit.assemble(io.BytesIO(raw), opener({}), [])
    with pytest.raises(tarsplit.TarSplitError) as failure:
        next(out)
    assert 'too large' in str(failure.value)


def test_a_line_without_end_does_not_fill_memory(monkeypatch):
    monkeypatch.setattr(tarsplit, 'MAX_LINE', 1000000)
    bomb = gzip.compress(b'{"type":2,"payload":"' + b'A' * 20000000)
    with pytest.raises(tarsplit.TarSplitError) as failure:
        together(bomb, {})
    assert 'too long' in str(failure.value)


# ---- CRC-64/GO-ISO

def bitwise(data):
    """The definition, bit by bit."""
    crc = 0xffffffffffffffff
    for byte in data:
        crc ^= byte
        for dummy in range(8):
            crc = (crc >> 1) ^ (0xD800000000000000 if crc & 1 else 0)
    return crc ^ 0xffffffffffffffff


def test_crc64_check_value():
    assert tarsplit.crc64(b'123456789') == 0xb90956c775a41001
    assert tarsplit.crc64(b'') == 0


def test_crc64_agrees_with_its_definition():
    data = bytes((number * 7919 + number // 251) & 0xff for number in range(70000))
    for size in list(range(140)) + [255, 256, 257, 1000, 4095, 4096, 4097]:
        assert tarsplit.crc64(data[:size]) == bitwise(data[:size]), size
    whole = bitwise(data)
    assert tarsplit.crc64(data) == whole
    for split in (0, 1, 7, 8, 9, 63, 64, 65, 32768, 32769, 69999, 70000):
        assert tarsplit.crc64(memoryview(data)[split:], tarsplit.crc64(data[:split])) == whole, split

"""Fuzzing of the ground floor. Not part of CI: ``python -m pytest tests/fuzz`` with hypothesis installed.

LIFEBOAT_FUZZ_SECONDS is the budget of the whole run (default 600). Each reader gets genuine files with random damage,
made-up ones and plain noise. What must hold for each: no exception but its own, an end in time, bounded memory, and
what can be said about the result of *any* input (see the checks). What is found becomes a test in tests/unit/formats.
"""
import gzip
import io
import itertools
import json
import os
import resource
import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import (
    boltdb,
    containerlogs,
    gotypes,
    jsonish,
    tarsplit,
)
from ansible_collections.lifeboat.docker.tests.fixtures import boltwriter
from ansible_collections.lifeboat.docker.tests.unit.formats import genuine

TESTS = 6
SECONDS = float(os.environ.get('LIFEBOAT_FUZZ_SECONDS', '600')) / TESTS
EXAMPLE_SECONDS = 10                    # far above what any example needs, far below a trap
MEMORY = 300 * 1024                     # KiB that a test may add to the process
NUMBERS = st.one_of(st.sampled_from([0, 1, 2, 3, 4, 5, 15, 16, 17, 127, 128, 255, 4096, 65535, 2 ** 31, 2 ** 32 - 1,
                                     2 ** 63, 2 ** 64 - 1]), st.integers(0, 2 ** 64 - 1), st.integers(0, 300))


@pytest.fixture(autouse=True)
def memory_stays_bounded():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY


def fuzz(strategy, check):
    """Let CHECK look at examples of STRATEGY until the budget of this test is used up."""
    end = time.time() + SECONDS
    count = 0
    slowest = 0.0

    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(example):
        nonlocal count, slowest
        started = time.process_time()
        check(example)
        used = time.process_time() - started
        assert used < EXAMPLE_SECONDS
        count += 1
        slowest = max(slowest, used)

    while True:
        run()
        if time.time() > end:
            break
    print('%d examples, the slowest took %.3f s' % (count, slowest))


def damaged(bases):
    """Bytes of one of BASES after some of: flipped, zeroed, overwritten, moved, doubled, removed, cut."""
    place = st.floats(0, 1, allow_nan=False)
    change = st.one_of(
        st.tuples(st.just('flip'), place, st.integers(0, 7)),
        st.tuples(st.just('zero'), place, st.sampled_from([1, 16, 512, 4096])),
        st.tuples(st.just('put'), place, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just('number'), place, st.tuples(NUMBERS, st.sampled_from([1, 2, 4, 8]), st.booleans())),
        st.tuples(st.just('copy'), place, st.tuples(place, st.sampled_from([4, 16, 64, 4096]))),
        st.tuples(st.just('insert'), place, st.binary(min_size=1, max_size=8)),
        st.tuples(st.just('remove'), place, st.integers(1, 600)),
        st.tuples(st.just('cut'), place, st.just(None)),
    )
    return st.tuples(st.sampled_from(bases), st.lists(change, max_size=8)).map(lambda one: apply(*one))


def apply(base, changes):
    raw = bytearray(base)
    for kind, place, what in changes:
        start = int(place * len(raw))
        if kind == 'flip' and start < len(raw):
            raw[start] ^= 1 << what
        elif kind == 'zero':
            raw[start:start + what] = bytes(len(raw[start:start + what]))
        elif kind == 'put':
            raw[start:start + len(what)] = what
        elif kind == 'number':
            value, size, big = what
            start -= start % 2
            raw[start:start + size] = (value % (1 << 8 * size)).to_bytes(size, 'big' if big else 'little')
        elif kind == 'copy':
            source = int(what[0] * len(raw))
            piece = raw[source:source + what[1]]
            raw[start:start + len(piece)] = piece
        elif kind == 'insert':
            raw[start:start] = what
        elif kind == 'remove':
            del raw[start:start + what]
        elif kind == 'cut':
            del raw[start:]
    return bytes(raw)


class Pieces(io.RawIOBase):
    """A file object that gives pieces of changing size, at most what was asked for."""

    def __init__(self, raw, sizes):
        self._raw = io.BytesIO(raw)
        self._sizes = itertools.cycle(sizes)

    def read(self, size=-1):
        return self._raw.read(min(size, next(self._sizes)))


SIZES = st.lists(st.sampled_from([1, 2, 3, 7, 64, 1000, 65536]), min_size=1, max_size=5) \
    .filter(lambda one: max(one) > 60)


# ---- bbolt

def sign(raw):
    """Make the checksums of the meta pages right again, so that damage elsewhere is reached."""
    raw = bytearray(raw)
    size = 4096
    for start in (16, size + 16):
        if len(raw) >= start + 64:
            raw[start + 56:start + 64] = struct.pack('<Q', boltwriter.fnv1a64(bytes(raw[start:start + 56])))
    return bytes(raw)


def fields_of_pages(raw):
    """Damage that knows the layout: numbers of page headers and of elements."""
    spot = st.tuples(st.integers(0, max(1, len(raw) // 4096 - 1)), st.integers(0, 40), NUMBERS,
                     st.sampled_from([4, 4, 2, 8]))
    return st.lists(spot, min_size=1, max_size=6).map(lambda spots: set_fields(raw, spots))


def set_fields(raw, spots):
    raw = bytearray(raw)
    for page, slot, value, size in spots:
        start = page * 4096 + slot * 4
        raw[start:start + size] = (value % (1 << 8 * size)).to_bytes(size, 'little')
    return bytes(raw)


def check_bolt(raw):
    try:
        db = boltdb.open_db(raw)
    except boltdb.BoltError as exc:
        assert str(exc)
        return
    errors = []
    pending = [db.root]
    budget = 70 * (len(raw) + 4096)     # buckets nest 64 deep at most
    while pending and budget > 0:
        bucket = pending.pop()
        for key, value in bucket.items(errors):
            budget -= 16 + len(key) + len(value or b'')
            assert key
            if not db.damage and value is not None:
                assert bucket.get(key) == value
        pending.extend(inner for dummy, inner in bucket.buckets(errors))
        bucket.get(b'vol-0100', errors)
    if not db.damage:
        assert budget > 0 and errors == []
    assert len(errors) <= boltdb.MAX_ERRORS
    assert all(isinstance(error, boltdb.BoltError) and str(error) for error in errors + db.damage)
    assert bool(db.damage) <= bool(db.warnings)


def test_bolt():
    bases = [genuine.unpacked(name) for name in ('volumes.db.gz', 'local-kv.db.gz', 'snapshotter.db.gz')]
    bases += [boltwriter.encode({b'b': {b'%03d' % number: b'x' * number for number in range(200)},
                                 b'big': b'y' * 9000}),
              boltwriter.encode({b'a': {b'b': {b'c': {b'd': b'e'}}}}, 1024)]
    trees = st.recursive(st.binary(max_size=300),
                         lambda inner: st.dictionaries(st.binary(min_size=1, max_size=20), inner, max_size=8),
                         max_leaves=40).filter(lambda tree: isinstance(tree, dict))
    fuzz(st.one_of(damaged(bases), damaged(bases).map(sign), st.sampled_from(bases).flatmap(fields_of_pages),
                   st.sampled_from(bases).flatmap(fields_of_pages).map(sign), trees.map(boltwriter.encode),
                   st.binary(max_size=300)), check_bolt)


# ---- JSON

TEXT = st.text(st.characters(), max_size=12)
JSON = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
                    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(TEXT, inner, max_size=6)),
                    max_leaves=25)


def check_json(raw):
    try:
        value = jsonish.loads(raw)
    except jsonish.JsonError as exc:
        assert exc.kind in ('empty', 'nul', 'cut', 'encoding', 'syntax', 'depth') and str(exc)
        value = None
    found = jsonish.salvage(raw)
    json.dumps([value, found], ensure_ascii=False).encode('utf-8')
    if isinstance(value, dict):
        assert repr(found) == repr(value)


def test_json():
    config = {'State': {'Pid': 5, 'Health': None}, 'Args': ['a', '\ud83d\ude00\\'], 'Name': '/web', 'x': -1.5e10,
              't': True}
    bases = [json.dumps(value, indent=indent).encode() for indent in (None, 1) for value in (config, ['a', {}], {})]
    bases += [bases[0].decode().encode('utf-16'), b'\xef\xbb\xbf' + bases[0], b'[' * 150 + b']' * 150]
    texts = st.builds(lambda value, plain: json.dumps(value, ensure_ascii=plain).encode('utf-8', 'surrogatepass'),
                      JSON, st.booleans())
    fuzz(st.one_of(damaged(bases), texts, texts.flatmap(lambda raw: damaged([raw])), st.binary(max_size=60),
                   st.text('{}[]",:\\ud8c0ntrue1-.eE \n', max_size=60).map(str.encode)), check_json)


# ---- container logs

def check_logs(reader):
    def check(example):
        raw, sizes, packed = example
        source = gzip.compress(raw) if packed else raw
        counters, other = containerlogs.Counters(), containerlogs.Counters()
        records = list(reader([io.BytesIO(source)], counters))
        assert counters.records == len(records)
        assert counters.skipped_bytes <= len(raw)
        # a byte that is not UTF-8 becomes three; the local driver's records get a line end
        assert sum(len(record.data) for record in records) <= 3 * len(raw) + len(records)
        for record in records:
            assert containerlogs.render(record).endswith(record.data)
            assert isinstance(record.key, tuple) and record.time.encode() is not None
        # what a record is does not depend on how the file is read
        assert list(reader([Pieces(source, sizes)], other)) == records
        assert all(getattr(other, name) == getattr(counters, name) for name in containerlogs.Counters.__slots__)
        # a whole record behind the damage is found, unless the damage ends in the middle of something
        assert list(reader([io.BytesIO(source), io.BytesIO(GOOD[reader])]))[-1].data == b'last\n'
    return check


GOOD = {
    containerlogs.json_file_records: b'{"log":"last\\n","stream":"stdout","time":"2024-01-02T03:04:05Z"}\n',
    containerlogs.local_records: b'\x00\x00\x00\x0e\x0a\x06stdout\x1a\x04last\x00\x00\x00\x0e',
}


def test_json_file_logs():
    reader = containerlogs.json_file_records
    bases = [genuine.raw('json-file', 'c-json.log')[:1500], genuine.unpacked('long', 'c-json.log.gz')[:60000],
             gzip.decompress(genuine.raw('json-file', 'c-json.log.1.gz'))[:2000], GOOD[reader] * 3]
    # bytes that begin like gzip are another format
    raws = st.one_of(damaged(bases), st.binary(max_size=200), st.lists(st.sampled_from([
        GOOD[reader], GOOD[reader][:-1], GOOD[reader][:30], b'{"log":', b'{"stream":', b'"', b'\\', b'\n', b'\0\0',
        b'}', b'\xff', b'{', b'[' * 3000]), max_size=12).map(b''.join))
    fuzz(st.tuples(raws.filter(lambda raw: raw[:1] != b'\x1f'), SIZES, st.booleans()), check_logs(reader))


def test_local_logs():
    reader = containerlogs.local_records
    bases = [genuine.raw('local', 'container.log')[:1500], genuine.unpacked('long', 'container.log.gz'),
             GOOD[reader] * 3]
    raws = st.one_of(damaged(bases), st.binary(max_size=200), st.lists(st.sampled_from([
        GOOD[reader], GOOD[reader][:-3], GOOD[reader][2:], b'\n\x06std', b'\0\0\0\x06\n\x04stdo\0\0\0\x06', b'\0' * 70,
        b'\n', b'\x00\x0f\x00\x00\n\x06std', b'\0\0\0\0', b'\xff' * 9]), max_size=12).map(b''.join))
    fuzz(st.tuples(raws.filter(lambda raw: raw[:1] != b'\x1f'), SIZES, st.booleans()), check_logs(reader))


# ---- tar-split

def check_tarsplit(example):
    raw, content, packed = example
    source = gzip.compress(raw) if packed else raw

    def open_file(name, size):
        if content is None:
            raise FileNotFoundError(2, 'missing')
        return [content[:size], content[size:]]

    try:
        entries = list(tarsplit.entries(io.BytesIO(source)))
    except tarsplit.TarSplitError as exc:
        assert exc.line >= 1
        entries = None
    size = sum(len(one.data) if isinstance(one, tarsplit.Segment) else one.size for one in entries or ())
    if size > 10 ** 7:
        return
    damages = []
    out = 0
    try:
        for piece in tarsplit.assemble(io.BytesIO(source), open_file, damages):
            out += len(piece)
            if out > 10 ** 7:
                return
    except tarsplit.TarSplitError as exc:
        assert entries is None or exc.name is not None
    else:
        assert out == size
        try:
            strict = b''.join(tarsplit.assemble(io.BytesIO(source), open_file, crc=True))
            assert damages == [] and len(strict) == size
        except tarsplit.TarSplitError:
            assert damages


def test_tarsplit():
    plain = genuine.unpacked('odd.tar-split.json.gz')
    lines = plain.splitlines(True)
    bases = [plain, b''.join(lines[:5])]
    values = st.dictionaries(st.sampled_from(['type', 'name', 'name_raw', 'size', 'payload', 'position']),
                             st.one_of(JSON, st.integers(0, 3), st.sampled_from(['AAAA', 'LKs4OLyn7lQ=', ''])))
    made = st.lists(values, max_size=4).map(lambda some: b''.join(
        json.dumps(dict(one, position=number)).encode() + b'\n' for number, one in enumerate(some)))
    raws = st.one_of(damaged(bases), made, st.binary(max_size=100))
    raws = raws.filter(lambda raw: raw[:1] != b'\x1f')
    fuzz(st.tuples(raws, st.one_of(st.none(), st.binary(max_size=40)), st.booleans()), check_tarsplit)


# ---- Go's values

def check_gotypes(raw):
    for read in (gotypes.uvarint, gotypes.varint, gotypes.binary_time, gotypes.any_message,
                 lambda one: list(gotypes.fields(one)), lambda one: gotypes.parse_time(one.decode('latin-1'))):
        try:
            read(raw)
        except ValueError as exc:
            assert str(exc)
    seconds, nanos = gotypes.time_key(raw.decode('latin-1'))
    try:
        text = gotypes.binary_time(raw)
    except ValueError:
        return
    if text is not None:
        assert gotypes.format_time(*gotypes.parse_time(text)) == text


def test_gotypes():
    bases = [bytes.fromhex('010000000ee2972039227919e3ffff'), b'2024-02-29T12:34:56.123+02:00',
             b'\x0a\x04type\x12\x05value\x18\x01']
    fuzz(st.one_of(damaged(bases), st.binary(max_size=30)), check_gotypes)

import gzip
import io
import itertools
import json
import struct

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import containerlogs
from ansible_collections.lifeboat.docker.tests.unit.formats import genuine


def read(reader, *files):
    """(records, counters) of a reader."""
    counters = containerlogs.Counters()
    return list(reader([io.BytesIO(one) for one in files], counters)), counters


def json_file(*files):
    return read(containerlogs.json_file_records, *files)


def local(*files):
    return read(containerlogs.local_records, *files)


def line(text, second=0, stream='stdout', **more):
    record = dict({'log': text, 'stream': stream, 'time': '2024-01-02T03:04:%02d.5Z' % second}, **more)
    return json.dumps(record, separators=(',', ':')).encode() + b'\n'


def varint(value):
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def frame(text, nanos=1704164645500000000, source=b'stdout', extra=b''):
    message = b'\x0a' + varint(len(source)) + source + b'\x10' + varint(nanos) + b'\x1a' + varint(len(text)) + text \
        + extra
    return struct.pack('>I', len(message)) + message + struct.pack('>I', len(message))


def texts(records):
    return [record.data for record in records]


# ---- what real engines wrote, against what their `docker logs --timestamps` printed

@pytest.mark.parametrize('folder,base,reader', [
    ('json-file', b'c-json.log', containerlogs.json_file_records),
    ('local', b'container.log', containerlogs.local_records),
])
def test_rotated_and_compressed_logs_are_what_docker_logs_prints(folder, base, reader):
    names = [base + suffix for suffix in (b'', b'.1.gz', b'.2.gz', b'.3.gz')]
    ordered = containerlogs.order(names, base)
    assert ordered == names[::-1]
    records, counters = read(reader, *[genuine.raw(folder, name.decode()) for name in ordered])
    for stream in ('stdout', 'stderr'):
        printed = b''.join(containerlogs.render(record) for record in records if record.stream == stream)
        assert printed == genuine.unpacked(folder, stream + '.gz')
    assert (counters.damaged, counters.skipped_bytes, counters.notes) == (0, 0, [])
    assert counters.records == len(records) > 400
    assert all(record.attrs == ({'app': 'demo'} if folder == 'json-file' else {}) for record in records)
    for stream in ('stdout', 'stderr'):         # two goroutines write, so only each stream is in order
        keys = [record.key for record in records if record.stream == stream]
        assert keys == sorted(keys)


def test_long_lines_keep_their_pieces_and_their_timestamps():
    records, counters = json_file(genuine.raw('long', 'c-json.log.gz'))
    printed = b''.join(containerlogs.render(record) for record in records if record.stream == 'stdout')
    assert printed == genuine.unpacked('long', 'stdout.gz')
    assert printed.count(records[3].time.encode()) == 3      # 40,000 bytes are three records
    assert records[-1].data == b'end without newline'
    assert [record.data for record in records if record.stream == 'stderr'] == [b'two\n']


def test_the_local_driver_keeps_what_the_container_wrote():
    records, counters = local(genuine.raw('long', 'container.log.gz'))
    assert b''.join(record.data for record in records if record.stream == 'stdout') \
        == b'one\nno newlinerest\n' + b'x' * 40000 + b'\n\xff\xfe bad\n\ncr\r\nend without newline'
    assert counters.damaged == 0


# ---- json-file

def test_records_of_several_files_come_one_after_the_other():
    records, counters = json_file(line('a\n', 1), gzip.compress(line('b\n', 2)), b'', line('c\n', 3)[:-1])
    assert texts(records) == [b'a\n', b'b\n', b'c\n']
    assert counters.notes == [] and counters.records == 3


def test_text_is_utf8_again():
    raw = b'{"stream":"stdout","time":"2024-01-02T03:04:05Z",' \
          b'"log":"\\u00e4 \\ud83d\\ude00 \\ud800 \\u0000 \xc3\xa4 \xff\\n"}'
    records, counters = json_file(raw)
    assert texts(records) == ['\xe4 \U0001f600 \ufffd \0 \xe4 \ufffd\n'.encode('utf-8')]


@pytest.mark.parametrize('hurt', [
    b'{"log":"torn in the mid',
    b'{"log":"torn\\n","stream":"stdout","ti',
    b'rubbish\n',
    b'{"log":5,"stream":"stdout","time":"2024-01-02T03:04:05Z"}\n',
    b'{"log":"a","stream":[],"time":"2024-01-02T03:04:05Z"}\n',
    b'{"other":"object"}\n', b'[]\n', b'5\n', b'null\n',
    b'[' * 100000 + b'\n',
    b'{"log":' + b'9' * 100000 + b'}\n',
    b'{"log":"x","stream":' + b'{"a":' * 3000 + b'\n',
])
def test_damage_costs_only_itself(hurt):
    raw = line('before\n') + hurt + line('after\n')
    records, counters = json_file(raw)
    assert texts(records) == [b'before\n', b'after\n']
    assert counters.damaged == 1
    assert counters.skipped_bytes in (len(hurt), len(hurt.rstrip(b'\n')))
    assert texts(json_file(line('only\n') + hurt)[0]) == [b'only\n']


@pytest.mark.parametrize('count', [1, 4096, 300000])
def test_nul_bytes_are_skipped_and_counted(count):
    raw = line('before\n') + line('torn\n')[:20] + b'\0' * count + line('after\n')
    records, counters = json_file(raw)
    assert texts(records) == [b'before\n', b'after\n']
    assert counters.skipped_bytes == count + 20
    assert counters.damaged == 1
    records, counters = json_file(line('whole\n')[:-1] + b'\0' * count)
    assert texts(records) == [b'whole\n'] and counters.damaged == 0 and counters.skipped_bytes == count


def test_records_without_line_end_between_them():
    records, counters = json_file(line('a\n')[:-1] + line('b\n')[:-1] + line('c\n'))
    assert texts(records) == [b'a\n', b'b\n', b'c\n']
    assert counters.damaged == 0


@pytest.mark.parametrize('rubbish', [b'x', b'xy', b'{', b'torn","stream":"std'])
def test_rubbish_before_a_record_is_counted(rubbish):
    records, counters = json_file(rubbish + line('a\n'))
    assert texts(records) == [b'a\n']
    assert (counters.damaged, counters.skipped_bytes) == (1, len(rubbish))


def test_a_record_inside_of_a_text_is_no_record():
    text = line('inner\n').decode()
    records, counters = json_file(line(text) + line(text)[:-5] + b'\n' + line('last\n'))
    assert texts(records) == [text.encode(), b'last\n']


def test_a_line_without_end_does_not_fill_memory(monkeypatch):
    class Endless(object):
        def __init__(self):
            self.left = 8 * 1024 * 1024
            self.begin = line('before\n') + b'{"log":"'

        def read(self, size):
            if self.begin:
                begin, self.begin = self.begin, b''
                return begin
            if self.left:
                self.left -= min(size, self.left)
                return b'x' * size
            self.read = lambda size: b''
            return b'"}\n' + line('after\n')

    sizes = []
    original = containerlogs._json_record
    monkeypatch.setattr(containerlogs, '_json_record', lambda raw: (sizes.append(len(raw)), original(raw))[1])
    counters = containerlogs.Counters()
    found = texts(containerlogs.json_file_records([Endless()], counters))
    assert found == [b'before\n', b'after\n']
    assert max(sizes) <= containerlogs.MAX_RECORD + 64 * 1024
    assert counters.damaged >= 1 and abs(counters.skipped_bytes - 8 * 1024 * 1024) < 100


def test_a_record_of_docker_s_largest_size_is_not_cut():
    text = '\x00' * 16384
    records, counters = json_file(line(text + 'x', tag='y' * 100000))
    assert texts(records) == [text.encode() + b'x']


def test_attributes():
    odd = line('a\n', attrs={'tag': 'x', 'odd': 5, '\ud800': '\udfff'})
    records, counters = json_file(odd + line('b\n', attrs=[1]))
    assert [record.attrs for record in records] == [{'tag': 'x', '\ufffd': '\ufffd'}, {}]


# ---- compression

def test_a_cut_gzip_gives_what_is_left():
    plain = b''.join(line('line %d\n' % number) for number in range(5000))
    packed = gzip.compress(plain)
    for size in (3, 12, len(packed) // 2, len(packed) - 4):
        records, counters = json_file(packed[:size], line('last\n'))
        whole = [b'line %d\n' % number for number in range(5000)]
        assert texts(records)[:-1] == whole[:len(records) - 1] and records[-1].data == b'last\n'
        assert [index for index, message in counters.notes] == [0] and 'cut off' in counters.notes[0][1]
        assert counters.damaged <= 1
    assert len(json_file(packed[:-4])[0]) == 5000


def test_a_damaged_gzip_gives_what_lies_before():
    plain = b''.join(b'%d ' % number + line('line %d\n' % number) for number in range(5000))
    packed = bytearray(gzip.compress(plain))
    packed[len(packed) // 2:len(packed) // 2 + 200] = b'\xff' * 200
    records, counters = json_file(bytes(packed), line('last\n'))
    assert records[-1].data == b'last\n' and len(counters.notes) == 1


def test_a_gzip_bomb_does_not_fill_memory():
    packed = gzip.compress(b'x' * 20000000)
    counters = containerlogs.Counters()
    assert list(containerlogs.json_file_records([io.BytesIO(packed)], counters)) == []
    assert counters.skipped_bytes == 20000000


def test_an_unreadable_file_does_not_stop_the_others():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            piece = io.BytesIO.read(self, size)
            if not piece:
                raise OSError(5, 'Input/output error')
            return piece

    counters = containerlogs.Counters()
    records = containerlogs.json_file_records([Broken(line('a\n')), io.BytesIO(line('b\n'))], counters)
    assert texts(records) == [b'a\n', b'b\n']
    assert counters.notes == [(0, 'cannot be read after %d bytes: Input/output error' % len(line('a\n')))]


def test_files_are_opened_one_at_a_time():
    opened = []

    def files():
        for name in 'abc':
            opened.append(name)
            yield io.BytesIO(line(name))

    records = containerlogs.json_file_records(files())
    assert next(records).data == b'a' and opened == ['a']
    assert next(records).data == b'b' and opened == ['a', 'b']


# ---- local

def test_local_records():
    partial = b'\x20\x01\x2a\x04\x12\x02id'
    last = b'\x20\x01\x2a\x06\x08\x01\x12\x02id'
    attrs = b'\x32\x0a\x0a\x03key\x12\x03val\x32\x05\x0a\x01a\x12\x00'
    raw = frame(b'one') + frame(b'', source=b'stderr') + frame(b'pie', extra=partial) + frame(b'ce', extra=last) \
        + frame(b'tagged', extra=attrs + b'\x38\x07\xba\x3e\x01x')
    records, counters = local(raw)
    assert texts(records) == [b'one\n', b'\n', b'pie', b'ce\n', b'tagged\n']
    assert records[1].stream == 'stderr' and records[0].time == '2024-01-02T03:04:05.5Z'
    assert records[4].attrs == {'key': 'val', 'a': ''}
    assert counters.damaged == 0


def test_times_before_1970():
    records, counters = local(frame(b'old', nanos=2 ** 64 - 1))
    assert records[0].time == '1969-12-31T23:59:59.999999999Z'


@pytest.mark.parametrize('hurt', [
    frame(b'torn away')[:-5],
    frame(b'torn away')[:3],
    b'\0' * 5000,
    b'\0' * 200000,
    b'\xff' * 5000,
    b'rubbish of the length 25.',
    struct.pack('>I', 900000) + b'x' * 10,
    struct.pack('>I', 5) + b'\x0a\x06std' + struct.pack('>I', 5),
    struct.pack('>I', 3) + b'\xff\xff\xff' + struct.pack('>I', 3),
    frame(b'no source', source=b''),
    frame(b'x', extra=b'\x38\x01' * 5000),
])
def test_damaged_frames_cost_only_themselves(hurt):
    raw = frame(b'before') + hurt + frame(b'after') + frame(b'last')
    records, counters = local(raw)
    assert texts(records) == [b'before\n', b'after\n', b'last\n']
    assert counters.skipped_bytes == len(hurt)
    assert counters.damaged == 1
    records, counters = local(frame(b'only') + hurt)
    assert texts(records) == [b'only\n'] and counters.skipped_bytes == len(hurt)


def test_reading_goes_on_wherever_the_damage_ends():
    """The mark of a frame may lie across any border of the pieces that are read."""
    after = frame(b'after')
    for size in itertools.chain(range(40), range(65536 - 60, 65536 + 20)):
        records, counters = local(b'\xee' * size + after)
        assert texts(records) == [b'after\n'], size
        assert counters.skipped_bytes == size


def test_pieces_of_any_size():
    class Drip(io.BytesIO):
        def read(self, size=-1):
            return io.BytesIO.read(self, 7)

    raw = b''.join(frame(b'line %d' % number) for number in range(300))
    hurt = raw[:1000] + b'\0' * 333 + raw[1000:]
    assert texts(containerlogs.local_records([Drip(hurt)])) == texts(containerlogs.local_records([io.BytesIO(hurt)]))
    assert len(list(containerlogs.local_records([Drip(raw)]))) == 300
    plain = b''.join(line('line %d\n' % number) for number in range(300))
    assert len(list(containerlogs.json_file_records([Drip(gzip.compress(plain))]))) == 300


def test_many_false_marks_are_no_trap():
    """Every mark promises a frame of nearly the largest size, and none is one."""
    false = struct.pack('>I', 999000) + b'\n\x06std'
    raw = frame(b'before') + false * 100000 + frame(b'after')
    records, counters = local(raw)
    assert texts(records) == [b'before\n', b'after\n']


# ---- names and output

@pytest.mark.parametrize('names,expected', [
    ([b'c', b'c.1', b'c.2'], [b'c.2', b'c.1', b'c']),
    ([b'c', b'c.10.gz', b'c.9.gz', b'c.1'], [b'c.10.gz', b'c.9.gz', b'c.1', b'c']),
    ([b'c', b'c.1', b'c.1.gz', b'c.2.gz', b'c.2'], [b'c.2', b'c.1', b'c']),
    ([b'c.1.gz', b'c.1', b'c.3'], [b'c.3', b'c.1']),
    ([b'c', b'c.0', b'c.01', b'c.x', b'c.1.tmp', b'c.1.gz.tmp', b'd.1', b'cc', b'c.1\n', b'c.' + b'9' * 5000], [b'c']),
    ([], []),
])
def test_order(names, expected):
    for some in itertools.islice(itertools.permutations(names), 24):
        assert containerlogs.order(list(some), b'c') == expected


def test_the_dot_of_the_name_is_a_dot():
    assert containerlogs.order([b'a.log', b'axlog.1', b'a.log.1'], b'a.log') == [b'a.log.1', b'a.log']


@pytest.mark.parametrize('time,stamp', [
    ('2024-01-02T03:04:05Z', b'2024-01-02T03:04:05.000000000Z'),
    ('2024-01-02T03:04:05.12Z', b'2024-01-02T03:04:05.120000000Z'),
    ('2024-01-02T03:04:05.123456789Z', b'2024-01-02T03:04:05.123456789Z'),
    ('2024-01-02T03:04:05.12+01:00', b'2024-01-02T02:04:05.120000000Z'),
    ('0001-01-01T00:00:00+01:00', b'0001-01-01T00:00:00.000000000Z'),
    ('', b'0001-01-01T00:00:00.000000000Z'),
    ('garbage\n', b'0001-01-01T00:00:00.000000000Z'),
])
def test_render(time, stamp):
    assert containerlogs.render(containerlogs.LogRecord(time, 'stdout', b'text\n', {})) == stamp + b' text\n'

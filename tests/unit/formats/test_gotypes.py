import datetime

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import gotypes


@pytest.mark.parametrize('raw,value', [
    (b'\x00', 0), (b'\x7f', 127), (b'\x80\x01', 128), (b'\xac\x02', 300), (b'\xff' * 9 + b'\x01', 2 ** 64 - 1),
])
def test_uvarint(raw, value):
    assert gotypes.uvarint(raw) == (value, len(raw))
    assert gotypes.uvarint(b'xx' + raw + b'tail', 2) == (value, len(raw) + 2)


@pytest.mark.parametrize('raw,value', [(b'\x00', 0), (b'\x01', -1), (b'\x02', 1), (b'\xfe\x0d', 895), (b'\x03', -2),
                                       (b'\xff' * 9 + b'\x01', -2 ** 63)])
def test_varint(raw, value):
    assert gotypes.varint(raw) == (value, len(raw))


@pytest.mark.parametrize('raw,words', [(b'', 'cut off'), (b'\x80', 'cut off'), (b'\xff' * 9, 'cut off'),
                                       (b'\xff' * 9 + b'\x02', 'more than 64 bits'),
                                       (b'\x80' * 11, 'more than 64 bits')])
def test_bad_varints(raw, words):
    for read in (gotypes.uvarint, gotypes.varint):
        with pytest.raises(ValueError) as failure:
            read(raw)
        assert words in str(failure.value)


def test_binary_time():
    assert gotypes.binary_time(bytes.fromhex('010000000ee297203922' + '7919e3ffff')) == '2026-11-24T06:05:45.578361827Z'
    assert gotypes.binary_time(b'\x01' + bytes(14)) is None
    # the offset (here +1 h) is for display only
    assert gotypes.binary_time(bytes.fromhex('010000000ee2972039227919e3' + '003c')) == '2026-11-24T06:05:45.578361827Z'
    assert gotypes.binary_time(bytes.fromhex('020000000ee2972039227919e3000001')) == '2026-11-24T06:05:45.578361827Z'


@pytest.mark.parametrize('raw', [b'', b'\x01', b'\x03' + bytes(14), b'\x01' + bytes(15), b'\x02' + bytes(14),
                                 b'\x01' + b'\x7f' + bytes(13), b'\x01' + b'\xff' * 14])
def test_bad_binary_times(raw):
    with pytest.raises(ValueError):
        gotypes.binary_time(raw)


@pytest.mark.parametrize('text,expected', [
    ('1970-01-01T00:00:00Z', (0, 0)),
    ('2024-02-29T12:34:56.123456789Z', (1709210096, 123456789)),
    ('2024-02-29T12:34:56.1Z', (1709210096, 100000000)),
    ('2024-02-29T14:34:56.1+02:00', (1709210096, 100000000)),
    ('2024-02-29T07:04:56.1-05:30', (1709210096, 100000000)),
    ('2024-02-29t12:34:56.1234567899999z', (1709210096, 123456789)),
    ('2016-12-31T23:59:60Z', (1483228800, 0)),      # a leap second
    ('0001-01-01T00:00:00Z', gotypes.NEVER),
    ('9999-12-31T23:59:59Z', (253402300799, 0)),
])
def test_parse_time(text, expected):
    assert gotypes.parse_time(text) == expected


def test_parse_time_agrees_with_datetime():
    for seconds in range(-2 ** 31, 2 ** 33, 86400 * 97 + 12345):
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
        assert gotypes.parse_time(moment.strftime('%Y-%m-%dT%H:%M:%SZ')) == (seconds, 0)
        assert gotypes.format_time(seconds) == moment.strftime('%Y-%m-%dT%H:%M:%SZ')


@pytest.mark.parametrize('text', ['', 'yesterday', '2024-02-30T00:00:00Z', '2024-01-01T24:00:00Z',
                                  '2024-01-01T23:60:00Z', '2024-01-01T23:00:61Z', '2024-01-01T00:00:00',
                                  '0000-01-01T00:00:00Z', '2024-01-01 00:00:00Z', None, 5, b'2024-01-01T00:00:00Z',
                                  '2024-01-01T00:00:00Z\n', '\u0662024-01-01T00:00:00Z'])
def test_what_is_no_time(text):
    with pytest.raises(ValueError):
        gotypes.parse_time(text)
    assert gotypes.time_key(text) == gotypes.NEVER


def test_times_sort():
    times = ['2024-01-01T00:00:00.9Z', '2024-01-01T00:00:00.10Z', '2024-01-01T00:00:00Z', 'garbage',
             '2023-12-31T23:00:00-02:00']
    assert sorted(times, key=gotypes.time_key) == ['garbage', times[2], times[1], times[0], times[4]]


def test_format_time():
    assert gotypes.format_time(0) == '1970-01-01T00:00:00Z'
    assert gotypes.format_time(0, 120000000) == '1970-01-01T00:00:00.12Z'
    assert gotypes.format_time(0, 120000000, fixed=True) == '1970-01-01T00:00:00.120000000Z'
    assert gotypes.format_time(*gotypes.NEVER) == '0001-01-01T00:00:00Z'
    for bad in ((2 ** 60, 0), (-2 ** 60, 0), (0, -1), (0, 10 ** 9)):
        with pytest.raises(ValueError):
            gotypes.format_time(*bad)


def test_fields():
    message = b'\x0a\x03abc\x10\x96\x01\x19\x01\x00\x00\x00\x00\x00\x00\x00\x25\x02\x00\x00\x00\x2a\x00'
    assert list(gotypes.fields(message)) == [(1, 2, b'abc'), (2, 0, 150), (3, 1, 1), (4, 5, 2), (5, 2, b'')]
    assert list(gotypes.fields(b'')) == []


@pytest.mark.parametrize('raw', [b'\x0a', b'\x0a\x05abc', b'\x10', b'\x19\x01', b'\x25\x01', b'\x0b', b'\x07\x01',
                                 b'\x00\x01', b'\x80', b'\x80\x80',
                                 b'\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01'])
def test_bad_messages(raw):
    with pytest.raises(ValueError):
        list(gotypes.fields(raw))


def test_any_message():
    assert gotypes.any_message(b'\x0a\x04type\x12\x05value\x18\x01') == ('type', b'value')
    assert gotypes.any_message(b'\x08\x05\x12\x01v\x1a\x01x\x15\x00\x00\x00\x00') == ('', b'v')
    assert gotypes.any_message(b'') == ('', b'')

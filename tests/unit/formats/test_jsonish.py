import json

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import jsonish

CONFIG = (b'{"State":{"Running":true,"Pid":4711,"Health":null},"ID":"abc","Created":"2024-01-02T03:04:05.6Z",'
          b'"Args":["-c","echo \\u003c\\ud83d\\ude00\\n \\"x\\""],"Ratio":-1.5e+3,"Config":{"Labels":{},"Tty":false},'
          b'"Name":"/w\xc3\xa4b","RestartCount":12}\n')


def damage(raw):
    with pytest.raises(jsonish.JsonError) as failure:
        jsonish.loads(raw)
    return failure.value


def test_whole_json():
    value = jsonish.loads(CONFIG)
    assert value == json.loads(CONFIG.decode())
    assert value['Args'][1] == 'echo <\U0001f600\n "x"'


@pytest.mark.parametrize('raw,value', [
    (b'\xef\xbb\xbf{"a": 1}', {'a': 1}),
    ('{"a": "\xe4\u4e2d"}'.encode('utf-16'), {'a': '\xe4\u4e2d'}),
    (b'\xfe\xff' + '[1]'.encode('utf-16-be'), [1]),
    (b' \r\n\t[1, 2]\n ', [1, 2]),
    (b'{"a": 1, "a": 2}', {'a': 2}),
    (b'null', None),
])
def test_what_go_accepts(raw, value):
    assert jsonish.loads(raw) == value


def test_unusual_numbers_are_tolerated():
    assert jsonish.loads(b'[NaN]')[0] != 0
    assert jsonish.loads(b'[-Infinity]') == [float('-inf')]
    assert jsonish.loads(b'[' + b'9' * 1000000 + b']') == [float('inf')]
    assert jsonish.loads(b'[123456789012345678901234567890]') == [123456789012345678901234567890]
    assert jsonish.loads(b'[1e999999]') == [float('inf')]


def test_lone_surrogates_do_not_get_through():
    value = jsonish.loads(b'{"a\\ud800": ["x\\uDFFF", {"b": "\\ud83d\\ude00\\ud83d"}], "\\udc00": "\\udc00"}')
    assert value == {'a\ufffd': ['x\ufffd', {'b': '\U0001f600\ufffd'}], '\ufffd': '\ufffd'}
    assert jsonish.loads(b'"\\ud800"') == '\ufffd'
    json.dumps(value, ensure_ascii=False).encode('utf-8')


@pytest.mark.parametrize('raw,kind,words', [
    (b'', 'empty', 'empty'),
    (b' \n', 'empty', 'empty'),
    (b'\0' * 900, 'nul', 'NUL bytes (power loss before write-back)'),
    (CONFIG[:50] + b'\0' * 30, 'nul', 'NUL bytes (power loss before write-back) from byte 50 on'),
    (CONFIG + b'\0' * 30, 'nul', 'NUL bytes (power loss before write-back)'),
    (b'{"a": "\xff"}', 'encoding', 'not UTF-8 at byte 7'),
    (b'\xef\xbb\xbf{"a": "\xff"}', 'encoding', 'not UTF-8 at byte 10'),
    (b'\xff\xfe{\0"\0\0\xd8\0\xd8', 'encoding', 'not UTF-16 at byte 6'),
    (b'hello', 'syntax', 'not JSON'),
    (b'{"a": 1} x', 'syntax', 'not JSON'),
    (b'{"a": 1,}', 'syntax', 'not JSON'),
    (b"{'a': 1}", 'syntax', 'not JSON'),
    (b'{"a": "line\nbreak"}', 'syntax', 'not JSON'),
    (b'{"a": "\\x"}', 'syntax', 'not JSON'),
    (b'{"a": truest}', 'syntax', 'not JSON'),
    (b'[' * 100000 + b']' * 100000, 'depth', 'nested deeper'),
    (b'{"a":' * 300 + b'1' + b'}' * 300, 'depth', 'nested deeper'),
])
def test_damage_is_named(raw, kind, words):
    found = damage(raw)
    assert found.kind == kind
    assert words in str(found)


def test_every_beginning_of_a_file_is_cut_off():
    for size in range(1, len(CONFIG) - 1):
        found = damage(CONFIG[:size])
        assert (found.kind, found.offset, str(found)) == ('cut', size, 'cut off at byte %d' % size), CONFIG[:size]


def test_deep_nesting_never_ends_in_a_recursion_error():
    for depth in (190, 199):
        assert jsonish.loads(b'[' * depth + b'{}' + b']' * depth)
    for raw in (b'[' * 10 ** 6, b'{"a":' * 10 ** 5, b'[' * 201 + b']' * 201, b'{"a":[' * 5000):
        assert damage(raw).kind in ('depth', 'cut')
        assert jsonish.salvage(raw) == {}
    # many brackets alone are no reason to refuse
    assert len(jsonish.loads(b'[' + b','.join([b'{}'] * 5000) + b']')) == 5000
    assert jsonish.loads(b'{"a": "' + b'[' * 5000 + b'"}') == {'a': '[' * 5000}


def test_salvage_of_a_whole_object_is_the_object():
    assert jsonish.salvage(CONFIG) == jsonish.loads(CONFIG)
    assert jsonish.salvage(b'{}') == {}


def test_salvage_gives_only_whole_pairs_that_lie_before_the_damage():
    whole = jsonish.loads(CONFIG)
    keys = ['State', 'ID', 'Created', 'Args', 'Ratio', 'Config', 'Name', 'RestartCount']
    before = 0
    for size in range(len(CONFIG)):
        for hurt in (CONFIG[:size], CONFIG[:size] + b'\0' * 40, CONFIG[:size] + b'\xff' + CONFIG[size + 1:]):
            found = jsonish.salvage(hurt)
            assert list(found) == keys[:len(found)]
            assert all(whole[key] == value for key, value in found.items())
        assert len(jsonish.salvage(CONFIG[:size])) >= before
        before = len(jsonish.salvage(CONFIG[:size]))
    assert before == len(keys)
    assert list(jsonish.salvage(CONFIG[:CONFIG.index(b',"Args"')])) == ['State', 'ID', 'Created']


@pytest.mark.parametrize('raw', [b'', b'\0\0', b'[1,2', b'"x', b'{1:2}', b'{"a" 1}', b'\xff', b'{"a": 12',
                                 b'{"a": tru'])
def test_nothing_to_salvage(raw):
    assert jsonish.salvage(raw) == {}


def test_salvage_of_other_encodings():
    assert jsonish.salvage('{"a": "\xe4", "b": "cut'.encode('utf-16')) == {'a': '\xe4'}
    assert jsonish.salvage(b'\xef\xbb\xbf{"a": 1, "b') == {'a': 1}
    assert jsonish.salvage(b'{"\\ud800": "\\ud800", "b') == {'\ufffd': '\ufffd'}

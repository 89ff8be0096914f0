import pytest
import yaml

from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import yamlout


@pytest.mark.parametrize('value', [
    'no', 'NO', 'on', 'y', '~', 'null', '', ' ', '1', '1.0', '0x1f', '1e3', '12:30:45', '2001-01-01', '.inf', '=', '<<',
    '- a', '# no comment', 'a: b', 'a #b', "it's", '"', '\\', 'a\\nb', '\t', 'a\nb\n', '\r\n', '\x07', '\x7f', u'\x85',
    u'\u2028', u'\ufeff', u'gr\u00fc\u00df', u'\U0001f433', '{}', '[', '*a', '&a', '!t', '%d', '@x', '`', '|', '>',
    'x' * 5000, '---', '...'])
def test_every_string_comes_back(value):
    document = {'a': value, 'list': [value, {'b': value}], value or 'empty': 1}
    assert yaml.safe_load(yamlout.dump(document)) == document


@pytest.mark.parametrize('value', [
    {'a': {}, 'b': [], 'c': None, 'd': True, 'e': False, 'f': 0, 'g': -1, 'h': 0.5, 'i': 10 ** 20},
    {'a': [{'b': [1, 2], 'c': {'d': 'e'}}, ['f', ['g']], {}, []]},
    {'no': 1, 'Yes': 2, 'null': 3, 'off': 4, '8080:80': 5, 'with space': 6, '': 7},
])
def test_every_shape_comes_back(value):
    assert yaml.safe_load(yamlout.dump(value)) == value


def test_half_a_surrogate_does_not_break_the_file():
    assert yaml.safe_load(yamlout.dump({'a': u'x\ud800y'}).encode('utf-8')) == {'a': u'x\ufffdy'}


def test_strings_are_quoted_and_keys_are_readable():
    assert yamlout.dump({'services': {'web': {'ports': ['80'], 'tty': True}}}) == (
        'services:\n  web:\n    ports:\n      - "80"\n    tty: true\n')

"""The YAML of compose files: read as Go's library reads it, and what is not read is refused with its line."""
import os
import random

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import yamlread
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.yamlread import (
    Odd,
    Plain,
    YamlError,
    loads,
    resolve,
)

COMPOSE = '''# of the shop
version: "3.8"
x-common: &common
  restart: unless-stopped
  logging: {driver: json-file, options: {max-size: "10m", 'max-file': "3"}}
services:
  web:
    <<: *common
    image: "nginx:${TAG:-1.25}"   # its tag
    command: ["nginx", "-g", 'daemon off;']
    ports:
    - "80:80"
    - 127.0.0.1:8443:443/tcp
    environment:
      - A=b c
      - "B=x # no comment"
      - C
    volumes:
      - ./html:/usr/share/nginx/html:ro
      - type: volume
        source: data
        target: /data
  db:
    <<: [*common]
    restart: "no"
    environment:
      POSTGRES_PASSWORD: 'it''s'
      EMPTY:
      URL: http://a:b@c/d?e#f
      LONG: one
        two

        three
      Q: "a\\tb \\
        c
        d"
    command: >
      postgres
      -c shared_buffers=1GB
        more

      end
    script: |-
      #!/bin/sh
      echo 1

      exit 0
volumes:
  data: {}
  other:
networks: { front: { external: true }, back: }
'''
LOGGING = {'driver': 'json-file', 'options': {'max-size': '10m', 'max-file': '3'}}
READ = {
    'version': '3.8', 'x-common': {'restart': 'unless-stopped', 'logging': LOGGING},
    'services': {
        'web': {'image': 'nginx:${TAG:-1.25}', 'command': ['nginx', '-g', 'daemon off;'], 'ports': ['80:80', '127.0.0.1:8443:443/tcp'],
                'environment': ['A=b c', 'B=x # no comment', 'C'], 'restart': 'unless-stopped', 'logging': LOGGING,
                'volumes': ['./html:/usr/share/nginx/html:ro', {'type': 'volume', 'source': 'data', 'target': '/data'}]},
        'db': {'restart': 'no', 'logging': LOGGING, 'command': 'postgres -c shared_buffers=1GB\n  more\n\nend\n', 'script': '#!/bin/sh\necho 1\n\nexit 0',
               'environment': {'POSTGRES_PASSWORD': "it's", 'EMPTY': '', 'URL': 'http://a:b@c/d?e#f', 'LONG': 'one two\nthree', 'Q': 'a\tb c d'}}},
    'volumes': {'data': {}, 'other': ''}, 'networks': {'front': {'external': 'true'}, 'back': ''}}


def test_a_compose_file():
    assert loads(COMPOSE) == READ
    assert loads(COMPOSE.replace('\n', '\r\n')) == READ and loads('\ufeff---\n' + COMPOSE + '...\n') == READ


@pytest.mark.parametrize('text, value', [
    ('', ''), ('# nothing\n', ''), ('a', 'a'), ('- a\n-\n- - b\n  - c\n-   d: 1\n    e: 2', ['a', '', ['b', 'c'], {'d': '1', 'e': '2'}]),
    ('a:\n- 1\nb: 2', {'a': ['1'], 'b': '2'}), ('a: b:c', {'a': 'b:c'}), ("'a b': \"c: d\"", {'a b': 'c: d'}),
    ('a: [b, {c: d}, "e,f",]', {'a': ['b', {'c': 'd'}, 'e,f']}),
    ('a: [b,\n    c]\nd: e', {'a': ['b', 'c'], 'd': 'e'}), ('a: |+\n  b\n\nc: d', {'a': 'b\n\n', 'c': 'd'}), ('a: |\n    b\n  ', {'a': 'b\n'}),
    ('a: |2\n   b\nc: d', {'a': ' b\n', 'c': 'd'}), ('a: >-\n  b\n  c\n\n  d', {'a': 'b c\nd'}), ('a: "\\u00e9\\x41"', {'a': '\xe9A'}),
    ('a: |\n  b', {'a': 'b'}),
    ('a: &x [1]\nb: *x', {'a': ['1'], 'b': ['1']}), ('a: b#c #d', {'a': 'b#c'}), ('a: -1', {'a': '-1'}), ('a: -b', {'a': '-b'}),
    ('a:  \n  b\n  c', {'a': 'b c'}),
])
def test_what_is_read(text, value):
    assert loads(text) == value


@pytest.mark.parametrize('text, line', [
    ('a: !reset []', 1), ('a: b\n? c\n: d', 2), ('%YAML 1.2\n---\na: b', 1), ('a: b\n---\nc: d', 2), ('a: *none', 1), ('a: 1\nb: 2\na: 3', 3), ('a: b: c', 1),
    ('a:\n\tb: c', 2), ('a: "b', 2), ('a: [b', 2), ('a: b\n  c: d', 2), ('a: @b', 1), ('a:\n  - b\n - c', 3), ('a: "\\q"', 1), ('a: [b]c', 1), ('a: b\nc', 2),
    ('a: \x00', 1), ('<<: 3\na: b', 1), ('[a]: b', 1), ('a: {b: c: d}', 1), ('&x a: b', 1), ('a: !!binary aGk=', 1),
])
def test_what_is_refused_and_where(text, line):
    with pytest.raises(YamlError) as raised:
        loads(text)
    assert raised.value.line == line and str(raised.value).startswith('line %d: ' % line)


@pytest.mark.parametrize('text, value', [
    ('~', None), ('null', None), ('true', True), ('yes', 'yes'), ('on', 'on'), ('010', 8), ('0x1f', 31), ('0o17', 15), ('1_000', 1000), ('-5', -5),
    ('22:22', '22:22'),
    ('1.50', 1.5), ('1e3', 1000.0), ('08', 8.0), ('2024-01-31', Odd('2024-01-31')), ('.inf', Odd('.inf')), ('1.2.3', '1.2.3'), ('9' * 30, Odd('9' * 30)),
])
def test_scalars_without_quotes_are_what_go_takes_them_for(text, value):
    found = resolve(Plain(text))
    assert found == value and type(found) is type(value)
    assert resolve(text) == text        # in quotes


@pytest.mark.parametrize('text', [
    'a: &a [x, x]\n' + ''.join('%s: &%s [*%s, *%s, *%s, *%s]\n' % ((chr(98 + n), chr(98 + n)) + (chr(97 + n),) * 4) for n in range(12)),
    '[' * 60 + ']' * 60, ''.join('%s- \n' % (' ' * n) for n in range(60)) + 'x', '- a\n' * 100001, 'x' * (yamlread.LARGEST + 1),
], ids=['aliases of aliases', 'brackets', 'dashes', 'many', 'large'])
def test_bombs_are_refused(text):
    with pytest.raises(YamlError):
        loads(text)


SOAK = int(os.environ.get('LIFEBOAT_SOAK') or 0)


@pytest.mark.soak             # with LIFEBOAT_SOAK
def test_broken_files_are_read_as_pyyaml_reads_them_or_refused():
    yaml = pytest.importorskip('yaml')

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {'<': yaml.SafeLoader.yaml_implicit_resolvers['<']}

    dice, lines = random.Random(7), COMPOSE.split('\n')
    pieces = [' ', '  ', '\n', '\n  ', ':', ': ', '- ', '#', ' #', '"', "'", '[', ']', '{', '}', ',', '&a ', '*a', '|', '>', '|-', '\\', '<<: ', '~']
    for dummy in range(2000 * SOAK):
        start = dice.randrange(len(lines))
        text = '\n'.join(lines[start:start + dice.randrange(1, 14)])
        for dummy in range(dice.randrange(3)):
            place = dice.randrange(len(text) + 1)
            text = text[:place] + dice.choice(pieces) + text[place + dice.randrange(3):]
        try:
            ours = loads(text)
        except YamlError:
            continue
        try:
            theirs = yaml.load(text, Loader)  # noqa: S506  it is a SafeLoader
        except yaml.YAMLError:
            continue
        assert ours == ('' if theirs is None else theirs), text

"""${VARIABLES} and env files, as Compose reads them."""
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import variables
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.variables import Undecided, env_file, expand

SET = {'A': 'a', 'EMPTY': '', 'OPEN': Undecided('the shell')}


@pytest.mark.parametrize('template, value', [
    ('x', 'x'), ('$A', 'a'), ('${A}b', 'ab'), ('$$A', '$A'), ('${NONE:-d}', 'd'), ('${NONE-d}', 'd'), ('${EMPTY:-d}', 'd'), ('${EMPTY-d}', ''),
    ('${A:-d}', 'a'),
    ('${A:+r}', 'r'), ('${EMPTY:+r}', ''), ('${EMPTY+r}', 'r'), ('${NONE+r}', ''), ('${A:?e}', 'a'), ('${NONE:-${A}-${NONE:-z}}', 'a-z'), ('${NONE:-}', ''),
    ('$A$A-$$', 'aa-$'),
])
def test_what_is_decided(template, value):
    assert expand(template, SET.get) == value


@pytest.mark.parametrize('template', ['$NONE', '${NONE}', '${NONE:?must be set}', '${EMPTY:?e}', 'x${', '${1}', '$', '${A/b/c}', '$OPEN', '${OPEN:-d}',
                                      '${NONE:-$OPEN}'])
def test_what_is_not_is_named(template):
    found = expand(template, SET.get)
    assert isinstance(found, Undecided) and found.why


def test_a_value_that_grows_without_end_is_undecided():
    assert isinstance(expand('$B' * 1000, {'B': 'b' * 100000}.get), Undecided)


@pytest.mark.parametrize('value', [
    'end\\', "it's", 'a$b ${c}', 'two\nlines', 'q"x\\', '$HOME\\', '\\', '\\\\', "a\\'b", '#x', '', ' sp ', "'", 'x\\n', '\u00e9'])
def test_a_value_that_is_quoted_is_read_again(value):
    """Each of these was read by Compose 2.40, too."""
    assert env_file(('A=%s\nB=x\n' % variables.quoted(value)).encode()).values == {'A': value, 'B': 'x'}


def test_what_is_a_name():
    assert all(map(variables.is_name, ('A', '_b', 'a.b-c'))) and not any(map(variables.is_name, ('', 'a b', 'a=b', 'a\nB', 'export A', 'A ', '#a', '\u00e9')))


def test_where_a_comment_begins():
    """As Compose 2.40 has it: compared with its `config` on hundreds of files by chance."""
    found = env_file(b'A=#hash\nB= # c\nC=a\t# t\nD=a # c\nE=a#b\nF=a  #\nG: #x # y\n')
    assert found.values == {'A': '#hash', 'B': '# c', 'C': 'a\t# t', 'D': 'a', 'E': 'a#b', 'F': 'a', 'G': '#x'}


def test_an_env_file():
    found = env_file(b'''# comment
A=1
export B = two words  # comment
C="x\\ny $A ${A}"
D='$A # all of it'
E=
F: yaml
G="several
lines"
H=a#b
SHELL_GIVES_IT
I=${A}${NOWHERE:-2}
J="\\$A"
''')
    assert found.values == {'A': '1', 'B': 'two words', 'C': 'x\ny 1 1', 'D': '$A # all of it', 'E': '', 'F': 'yaml', 'G': 'several\nlines', 'H': 'a#b',
                            'I': '12', 'J': '$A'}
    assert found.inherited == ('SHELL_GIVES_IT',)
    assert isinstance(env_file(b'A=$HOME\n').values['A'], Undecided)
    assert env_file(b'\xef\xbb\xbfA=1\r\nB=2\r\n').values == {'A': '1', 'B': '2'}


@pytest.mark.parametrize('raw', [
    b'root:$6$abc$def:19000:0:99999:7:::\n', b'-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n', b'\x7fELF\x00\x01', b'\xff\xfe=1', b'A="open\n', b'<html>\n',
    b'two words\n', b'{"a": 1}\n'])
def test_what_is_no_env_file(raw):
    assert env_file(raw) is None

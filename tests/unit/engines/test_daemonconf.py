"""Configuration files as systemd and a shell read them."""
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker.finding import daemonconf


@pytest.mark.parametrize('line,words', [
    ('a  b\tc', ['a', 'b', 'c']),
    ('"a b" \'c d\'', ['a b', 'c d']),
    ('--x="a b"', ['--x=a b']),
    ('""', ['']),
    (r'a\x20b \101 \s \" \q', ['a b', 'A', ' ', '"', '\\q']),
    ('"open', ['open']),
    ('', []),
    ('\\', ['\\']),
])
def test_split_words(line, words):
    assert daemonconf.split_words(line) == words


@pytest.mark.parametrize('value,env,commands', [
    ('/a $X', {'X': 'b "c d"'}, [['/a', 'b', 'c d']]),
    ('/a ${X}', {'X': 'b c'}, [['/a', 'b c']]),
    ('/a $X y', {}, [['/a', 'y']]),
    ('/a ${X}y $$X', {}, [['/a', 'y', '$X']]),
    (':/a $X', {'X': 'b'}, [['/a', '$X']]),
    ('@/a name b', {}, [['/a', 'b']]),
    ('/a ; /b', {}, [['/a'], ['/b']]),
    ('', {}, []),
])
def test_command_words(value, env, commands):
    assert daemonconf.command_words(value, env) == commands


@pytest.mark.parametrize('raw,shell,expected', [
    (b'A=1\n B = 2\n;C=3\n#D=4\nE="x y" \nF=\'a"b\'\n', False, {'A': '1', 'E': 'x y', 'F': 'a"b'}),
    (b'A=a b c\nB=one \\\ntwo\n', False, {'A': 'a b c', 'B': 'one two'}),
    (b'A="multi\nline"\nB="q\\"q"\n', False, {'A': 'multi\nline', 'B': 'q"q'}),
    (b'export A=1 B=2\nC="$A/x" # no\nD=\'$A\'\nE=a"b c"\'d\'\n', True,
     {'A': '1', 'C': '1/x', 'D': '$A', 'E': 'ab cd'}),
    (b'A=1\nA+=2\nB=${Z:-def}\n', True, {'A': '12', 'B': 'def'}),
])
def test_parse_env(raw, shell, expected):
    assert daemonconf.parse_env(raw, shell) == expected


def test_variables_do_not_grow_without_limit():
    env = {'A': 'x' * 5000}
    assert sum(map(len, daemonconf.shell_words('$A' * 1000, env))) < 20000
    assert sum(map(len, daemonconf.command_words('/a ' + '${A}' * 1000, env)[0])) < 20000


def test_parse_unit():
    raw = (b'[Unit]\nExecStart=no\n[Service]\n# ExecStart=no\nExecStart = /a \\\n; no\n b\nExecStart=/c \\\\\nX=1\n'
           b'[Install]\nExecStart=no\n')
    assert daemonconf.parse_unit(raw) == [('ExecStart', '/a  b'), ('ExecStart', '/c \\\\'), ('X', '1')]

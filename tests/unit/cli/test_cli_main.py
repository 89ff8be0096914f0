"""The tool as a whole: arguments, exit status, streams; and every example in the help is right."""
import os
import re
import shlex
import signal
import subprocess
import sys

import programs
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import writing as bundle
from ansible_collections.lifeboat.docker.plugins.module_utils.cli import (
    completion,
    main,
    output,
    parser,
    progress,
)
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import quantities

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
VERBS = [name for name, dummy in parser.VERBS]


def test_the_version_is_that_of_the_collection():
    with open(os.path.join(TOP, 'galaxy.yml')) as galaxy:
        assert re.search('^version: *(.*)$', galaxy.read(), re.MULTILINE).group(1) == main.VERSION == bundle.VERSION


@pytest.mark.parametrize('verb', VERBS)
def test_examples_in_the_help_are_right(verb):
    examples = [line for line in parser.verb(verb).EXAMPLES.strip().split('\n') if 'lifeboat' in line.split()[0]]
    assert examples
    for line in examples:
        words = []
        for word in shlex.split(line.split('   ')[0], comments=False):
            if word in ('|', '>', '2>'):
                break
            words.append(word)
        assert parser.build('1').parse_args(words[1:]).verb in VERBS, line


@pytest.mark.parametrize('verb', VERBS)
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main([verb, '--help'])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert 'examples:' in said and '--host-root' in said and dict(parser.VERBS)[verb][:20].lower() in said.lower()


@pytest.mark.parametrize('words', [('nonsense',), ('ls',), ('cp', 'web:/x'), ('ls', '--what', 'web')])
def test_wrong_use_is_status_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(list(words))
    assert ended.value.code == 2 and 'usage: lifeboat' in capsys.readouterr().err


def test_without_a_verb_it_explains_itself(capsys):
    assert main.main([]) == 2
    said = capsys.readouterr().err
    assert all(verb in said for verb in VERBS) and 'exit status' in said


def test_options_may_stand_before_and_behind_the_verb_and_in_variables(dead, lifeboat, monkeypatch):
    before = lifeboat('ls', 'web:/').out
    assert lifeboat('ls', 'web:/', '--host-root', dead[1], host_root='/nowhere').out == before
    monkeypatch.setenv('LIFEBOAT_HOST_ROOT', dead[1])
    monkeypatch.setenv('LIFEBOAT_JSON', '1')
    given = parser.build('1').parse_args(['ls', 'web:/'])
    assert (given.host_root, given.json) == (dead[1], True)
    monkeypatch.setenv('LIFEBOAT_DATA_ROOT', '/a:/b')
    assert parser.build('1').parse_args(['ls', 'web:/']).data_root == ['/a', '/b']


def test_a_verb_that_is_not_asked_for_is_not_loaded(dead):
    code = ('import sys; import conftest\n'
            'from ansible_collections.lifeboat.docker.plugins.module_utils.cli import main\n'
            'main.main(["--host-root", %r, "ls", "web:/"])\n'
            'print([name for name in sys.modules if name.endswith((".verbs.cp", ".rescue.run", ".facts", ".restore"))])' % (
                dead[1],))
    environment = dict(os.environ, PYTHONPATH=os.path.join(TOP, 'tests'))
    assert subprocess.check_output([sys.executable, '-c', code], env=environment).splitlines()[-1] == b'[]'


def test_a_closed_pipe_ends_it_by_the_signal(lifeboat, monkeypatch):
    ended = []
    monkeypatch.setattr(main, '_end_by', ended.append)

    def closed(*dummy):
        raise BrokenPipeError(32, 'Broken pipe')
    monkeypatch.setattr(output.os, 'write', closed)
    lifeboat('ls', '-R', 'web')
    assert ended == [signal.SIGPIPE]


def test_names_keep_to_their_columns():
    rows = [('STATUS', 'NAME', 'SIZE'), ('complete', 'x' * 60, '1 B')]
    lines = output.columns(rows, ('SIZE',), 40, ('NAME',))
    assert max(map(len, lines)) <= 40 and '...' in lines[1] and lines[1].endswith('1 B')


@pytest.mark.parametrize('text, size', [('4096', 4096), ('64M', 64 << 20), ('2GiB', 2 << 30), ('1.5k', 1536), ('10 mb', 10 << 20)])
def test_sizes(text, size):
    assert quantities.size(text) == size


@pytest.mark.parametrize('text, moment', [('2026-01-01', (1767225600, 0)), ('2026-01-01T00:00', (1767225600, 0)),
                                          ('2026-01-01T02:00:00.5+02:00', (1767225600, 500000000)), ('1767225600.25', (1767225600, 250000000))])
def test_times(text, moment):
    assert quantities.moment(text) == moment


@pytest.mark.parametrize('text', ['soon', '2026', '10x', '', '2026-13-45'])
def test_what_is_no_time(text):
    with pytest.raises(ValueError):
        quantities.moment(text)


def test_durations():
    assert quantities.duration('1h30m') == 5400 and quantities.duration('7d') == 7 * 86400


def test_a_bar_has_rate_and_time_left_and_fits():
    snapshot = {'phase': 'copying', 'bytes': 512 << 20, 'total': 1 << 30, 'label': b'srv/\x1b[2Jx'}
    line = progress.picture(snapshot, 64 << 20, 100, True)
    assert '50 %' in line and '64.0 MiB/s' in line and '0:08 left' in line and line.isprintable()
    assert len(progress.picture(snapshot, 1, 40, True)) < 40
    assert progress.picture(dict(snapshot, total=0), 0) == 'copying 512.0 MiB  srv/\\x1b[2Jx'


def test_progress_is_a_line_where_there_is_no_terminal_and_nothing_with_quiet(monkeypatch):
    monkeypatch.setattr(progress, 'TELL', 0.02)
    for quiet in (False, True):
        said = []
        out = output.Output(quiet)
        out.draw = said.append
        meter = progress.Meter('copying')
        meter.done = 1 << 20
        with progress.Bar(out, meter.snapshot) as gauge:
            gauge._done.wait(0.2)
        assert bool(said) is not quiet
        assert all(line.endswith(b'\n') and b'\r' not in line for line in said)


@pytest.mark.parametrize('shell', sorted(completion.SHELLS))
def test_completion_knows_every_verb_and_option(shell, lifeboat):
    script = lifeboat('completion', shell).out
    for verb in VERBS:
        assert verb.encode() in script
    assert b'timestamps' in script and b'host-root' in script


@pytest.mark.parametrize('shell', sorted(completion.SHELLS))
def test_the_shell_itself_can_read_the_completion(shell, lifeboat):
    programs.need(shell)
    subprocess.run([shell, '--no-execute' if shell == 'fish' else '-n'], input=lifeboat('completion', shell).out, check=True)


def test_bash_completes_a_verb_and_an_option(lifeboat):
    script = lifeboat('completion', 'bash').out.decode()
    asked = script + '''
COMP_WORDS=(lifeboat res); COMP_CWORD=1; _lifeboat; echo "${COMPREPLY[*]}"
COMP_WORDS=(lifeboat logs --ti); COMP_CWORD=2; _lifeboat; echo "${COMPREPLY[*]}"
COMP_WORDS=(lifeboat completion ""); COMP_CWORD=2; _lifeboat; echo "${COMPREPLY[*]}"
COMP_WORDS=(lifeboat ls w); COMP_CWORD=2; _lifeboat; echo "${COMPREPLY[*]}"
'''
    assert subprocess.check_output(['bash'], input=asked.encode()).decode().split('\n')[:4] == ['rescue', '--timestamps', 'bash fish zsh', '']


@pytest.mark.parametrize('typed, offered', [('lifeboat res', ['rescue']), ('lifeboat logs --ti', ['--timestamps']),
                                            ('lifeboat completion ', ['bash', 'fish', 'zsh']), ('lifeboat --host-r', ['--host-root']),
                                            ('lifeboat rescue --compression z', ['zstd'])])
def test_fish_completes_a_verb_an_option_and_a_word(lifeboat, typed, offered):
    programs.need('fish')
    script = lifeboat('completion', 'fish').out.decode() + '\ncomplete -C "%s"\n' % typed
    said = subprocess.check_output(['fish', '--no-config'], input=script.encode()).decode()
    assert [line.split('\t')[0] for line in said.split('\n') if line] == offered


def test_lists_are_given_with_commas_or_one_by_one(lifeboat, tmp_path):
    given = parser.build('1').parse_args(['rescue', str(tmp_path), '--volumes', 'a, b', '--volumes', 'c', '--include', 'config,logs'])
    assert parser.listed(given.volumes) == ['a', 'b', 'c'] and parser.listed(given.include) == ['config', 'logs']
    assert lifeboat('look', '--gather', 'containers,volumes', '--engine', 'docker,all').out == lifeboat(
        'look', '--gather', 'containers', '--gather', 'volumes').out
    assert lifeboat('look', '--engine', 'docker,nonsense').status == 2


def test_open_files_of_the_disk_of_another_host_are_refused(lifeboat, tmp_path):
    ran = lifeboat('rescue', str(tmp_path / 'out'), '--open-files')
    assert ran.status == 2 and '--open-files reads the processes of a running host' in ran.err
    assert not (tmp_path / 'out').exists()

"""Every writer of module_utils, fed with every control character: nothing reaches a terminal, and every value comes back."""
import json
import os
import subprocess

import pytest
import yaml
from hostiletext import ALL, BREAKS, CONTROLS, ESCAPES, IDS, NAMES, bad

from ansible_collections.lifeboat.docker.plugins.module_utils import module as shared
from ansible_collections.lifeboat.docker.plugins.module_utils.archive import progress
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import texts
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import checksums, wording
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.values import clean
from ansible_collections.lifeboat.docker.plugins.module_utils.images import codes as imagecodes
from ansible_collections.lifeboat.docker.plugins.module_utils.records import codes, model
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import (
    body as bodies,
    files,
    run,
    shell,
)
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, steps
from ansible_collections.lifeboat.docker.tests.unit.recreate.recorded import define_recorded

CID = '5674dc1a3426b22a5861ca44d61f8549588f81e7bf22975120045053042b96b4'
STUB = '''#!/bin/sh
for word; do printf '%s\\000' "$word"; done >>"$0.log"
printf '\\001\\000' >>"$0.log"
test "$2" != inspect || test -z "$CREATE"
'''


@pytest.mark.parametrize('char', list(CONTROLS) + ['\0'])
def test_each_control_character_is_an_escape(char):
    shown = wording.show('a' + char + 'b')
    assert bad(shown) == [] and shown.startswith('a\\') and shown.endswith('b')
    assert wording.show(shown) == shown


def test_what_people_read_stays():
    text = u'gr\u00fc\u00df \u6c34 \U0001f433 a\\b'
    assert wording.show(text) == text and wording.show(text.encode('utf-8')) == text
    assert wording.show(b'a\xff\x9b') == 'a\\xff\\x9b' and wording.show(None) == '' and wording.show(5) == '5'
    assert wording.text('\udcff') == '\\xff' and wording.text('\ud800') == '\\ud800'


@pytest.mark.parametrize('name', NAMES, ids=IDS)
def test_problems_and_errors_are_single_harmless_lines(name):
    for item in (codes.problem('READ_ERROR', name, 'Cannot read %s.' % name, 'Look at %s.' % name),
                 imagecodes.problem('NEW_CODE', name, 'Cannot read %s.' % name, 'Look at %s.' % name)):
        assert [bad(field) for field in item if isinstance(field, str)] == [[]] * 5
    assert bad(str(LifeboatError('There is no %s.' % name))) == []


@pytest.mark.parametrize('name', NAMES, ids=IDS)
def test_what_a_restore_says_is_single_harmless_lines(name):
    assert bad(steps.shown(steps.Step('volume', name, 'fill', 'Fill the volume %s.' % name))['message']) == []
    made = plan.Plan.__new__(plan.Plan)
    made.notes = []
    made.note('The volume %s is kept.' % name)
    made.note('The volume %s is kept.' % name)
    assert [bad(note) for note in made.notes] == [[]]


class Module(object):
    params = {}
    _verbosity = 0

    def fail_json(self, **result):
        self.said = result['msg']


@pytest.mark.parametrize('exc', [LifeboatError('No container is called %s.' % ALL), OSError(5, 'Input/output error', b'/x/\x1b\x9b\n'),
                                 OSError(5, 'Input/output error', '/x/' + ESCAPES)])
def test_a_failed_module_says_one_harmless_line(exc):
    module = Module()

    def work(dummy):
        raise exc
    shared.run(module, work)
    assert bad(module.said) == []


@pytest.mark.parametrize('name', NAMES, ids=IDS)
@pytest.mark.parametrize('width', [None, 60])
def test_progress_is_one_harmless_line(name, width):
    snapshot = {'phase': 'reading', 'bundle': name, 'component': 'volume:' + name, 'bytes': 5, 'total': 10, 'bundles': 1, 'of': 2, 'frozen': False}
    assert bad(progress.describe(snapshot, 5.0, width)) == []
    assert bad(progress.describe(dict(snapshot, phase=name), 5.0, width)) == []


# -- README.txt ------------------------------------------------------------------------------------------------------------------------

def manifest(name):
    labels = {'com.example.' + name: name, 'com.docker.volume.anonymous': ''}
    return {
        'kind': 'container', 'container': {'name': name, 'id': CID}, 'created': '2026-01-02T03:04:05Z', 'status': 'partial',
        'source': {'hostname': name, 'data_root': '/var/lib/docker/' + name},
        'mounts': [{'type': 'volume', 'name': name, 'anonymous': False, 'destination': '/data' + name, 'driver': 'local', 'labels': labels,
                    'options': {'o': 'password=VALUE_REDACTED', 'type': name}}],
        'problems': [{'message': 'M ' + name, 'next_step': 'N ' + name}],
        'components': [{'kind': 'writable', 'file': 'writable.tar.zst'}, {'kind': 'rootfs', 'file': 'rootfs.tar.gz'},
                       {'kind': 'volume', 'file': 'volumes/v.tar.zst', 'volume': name, 'destination': '/data' + name},
                       {'kind': 'bind', 'file': 'binds/01.tar.zst', 'source': '/srv/' + name, 'destination': name},
                       {'kind': 'bind', 'file': 'binds/02.tar.zst', 'source': '/srv/' + name + '/f', 'destination': name, 'single': True},
                       {'kind': 'image', 'file': 'image.tar', 'load': 'docker load -i image.tar'}, {'kind': 'config', 'file': 'config/x'}]}


def ran(tmp_path, script, shell_name='bash', **environment):
    """What the programs that SCRIPT starts were given: a list of (program, words as bytes)."""
    for program in ('docker', 'tar', 'mkdir', 'zstd', 'gzip'):
        (tmp_path / program).write_text(STUB)
        (tmp_path / program).chmod(0o755)
    path = tmp_path / 'script'
    path.write_bytes(script)
    subprocess.check_call([shell_name, str(path)], cwd=str(tmp_path), stdin=subprocess.DEVNULL,
                          env=dict({'PATH': '%s:/usr/bin:/bin' % tmp_path}, **environment))
    found = []
    for log in sorted(tmp_path.glob('*.log')):
        for words in log.read_bytes().split(b'\1\0')[:-1]:
            found.append([log.name[:-4]] + words.split(b'\0')[:-1])
        log.unlink()
    assert not (tmp_path / 'pwned').exists()
    return found


@pytest.mark.parametrize('name', NAMES, ids=IDS)
def test_the_readme_stays_in_its_lines_and_its_commands_are_exact(name, tmp_path):
    text = texts.readme(manifest(name))
    assert bad(text, '\n') == []
    assert text.count('\n') == texts.readme(manifest('web')).count('\n')
    commands = [line[4:].partition(' && ')[2] or line[4:] if line.startswith('    mkdir -p') else line[4:]
                for line in text.split('\n') if line.startswith(('    docker volume create', '    tar -C', '    mkdir -p'))]
    made = [line[4:].partition(' && ')[0] for line in text.split('\n') if line.startswith('    mkdir -p')]
    raw = name.replace('\ud800', u'\ufffd').replace('\udfff', u'\ufffd').encode('utf-8', 'surrogateescape')
    found = ran(tmp_path, '\n'.join(commands + made).encode('utf-8'))
    assert ['docker', b'volume', b'create', b'--label', b'com.example.' + raw + b'=' + raw, b'--opt', b'type=' + raw, b'--', raw] in found
    assert ['docker', b'volume', b'inspect', b'-f', b'{{.Mountpoint}}', b'--', raw] in found
    assert ['mkdir', b'-p', b'--', b'/srv/' + raw] in found
    assert [words[2] for words in found if words[0] == 'tar'][1:] == [b'/srv/' + raw, b'/srv/' + raw]


# -- run.sh, compose.yaml, env files ----------------------------------------------------------------------------------------------------

def define(name):
    config = {'ID': CID, 'Name': '/' + name, 'NetworkSettings': {'Networks': {name: {'Aliases': [name]}, 'second' + name: {}}}, 'Config': {
        'Image': name, 'User': name, 'Hostname': name, 'Labels': {name: name, 'b': name}, 'Entrypoint': [name, name], 'Cmd': [name, '--', name],
        'Env': ['A=' + name, 'B' + name + '=' + name, 'PLAIN=1'], 'Healthcheck': {'Test': ['CMD', name]}}}
    mounts = [model.Mount('volume', name, None, None, '/v' + name, True, 'local', False, 'complete'),
              model.Mount('bind', None, '/b/' + name, None, '/c' + name, True, None, False, 'lost')]
    host = {'NetworkMode': name, 'Binds': [name + ':/v'], 'LogConfig': {'Type': name, 'Config': {name: name}}, 'Sysctls': {name: name},
            'Dns': [name], 'RestartPolicy': {'Name': name}}
    return define_recorded(config, host, {}, name, mounts, volume_info={name: {'labels': {name: name}, 'options': {name: name}}},
                           network_info={name: {'labels': {name: name}, 'driver': name}})


def as_argument(word):
    return word.replace('\0', '').replace('\ud800', u'\ufffd').replace('\udfff', u'\ufffd').encode('utf-8', 'surrogateescape')


@pytest.mark.parametrize('name, program', [(name, 'dash') for name in NAMES] + [(ALL, 'bash')], ids=IDS + ['bash'])
def test_the_shell_reads_back_every_word_of_run_sh(name, program, tmp_path):
    definition = define(name)
    made = files.files(definition)
    text = made['run.sh']
    assert bad(text, '\n\t') == []
    for file, content in made.items():
        (tmp_path / file).write_bytes(content.encode('utf-8', 'surrogateescape'))
    found = ran(tmp_path, text.encode('utf-8'), program, CREATE='yes')
    body = bodies.create_body(definition)
    wanted = ['create'] + [word for group in run.options(definition, body) for word in group] + run.tail(body)
    assert [words[1:] for words in found if words[1] == b'create'] == [list(map(as_argument, wanted))]
    own = as_argument(clean(name))
    assert ['docker', b'start', b'--', own.lstrip(b'/')] in found
    for kind in (b'volume', b'network'):
        lines = [words for words in found if words[1] == kind]
        assert all(words[-2] == b'--' or words[-3] == b'--' for words in lines)
        assert {words[2] for words in lines} >= {b'inspect', b'create'}
        assert as_argument(name) in [words[-1] for words in lines] or own in [words[-1] for words in lines]


@pytest.mark.parametrize('name', NAMES, ids=IDS)
def test_a_parser_reads_back_every_value_of_compose_yaml(name):
    made = files.files(define(name))['compose.yaml']
    assert bad(made, '\n') == []
    document = yaml.safe_load(made.encode('utf-8'))
    service = list(document['services'].values())[0]
    wanted = clean(name).replace('$', '$$')
    assert service['labels']['b'] == service['user'] == service['dns'][0] == wanted
    assert service['entrypoint'] == [wanted, wanted] and service['command'] == [wanted, '--', wanted]
    head = made.partition('\nname: ')[0]
    assert all(line.startswith('# ') for line in head.split('\n'))


@pytest.mark.parametrize('name', NAMES, ids=IDS)
def test_every_program_reads_back_the_environment(name, tmp_path):
    definition = define(name)
    made = files.files(definition)
    value = clean(name)
    assert bad(made.get('env.sh', ''), '\n\t') == []
    lines = dict(line.split('=', 1) for line in made['env'].split('\n')[:-1])
    assert lines['PLAIN'] == '1'
    if 'A' in lines:
        assert lines['A'] == value and bad(value, '\t') == []
    else:
        (tmp_path / 'env.sh').write_text(made['env.sh'], encoding='utf-8')
        said = subprocess.check_output(['dash', '-c', '. ./env.sh; printf %s "$A"'], cwd=str(tmp_path))
        assert said == value.encode('utf-8') and ['--env', 'A'] in run.options(definition, bodies.create_body(definition))
    assert json.loads(made['create.json'])['Env'] == ['A=' + value, 'B' + value + '=' + value, 'PLAIN=1']


@pytest.mark.parametrize('program, quote', [('dash', shell.quote), ('bash', shell.quote), ('bash', shell.typed)])
def test_words_come_back_from_both_kinds_of_quotes(program, quote):
    words = NAMES + ['a' + char + 'b' for char in CONTROLS] + [ESCAPES + BREAKS + ESCAPES]
    quoted = [quote(word) for word in words]
    assert [bad(one, '\n\t') for one in quoted] == [[]] * len(words)
    said = subprocess.check_output([program, '-c', "printf '%s\\0' " + ' '.join(quoted)])
    assert said.split(b'\0')[:-1] == list(map(as_argument, words))


def test_what_is_typed_or_a_comment_is_one_line():
    assert [name for name in NAMES if '\n' in shell.typed(name) + shell.comment(name)] == []


# -- lists of checksums -----------------------------------------------------------------------------------------------------------------

def test_sha256sum_takes_a_list_of_such_names(tmp_path):
    items = []
    for name in NAMES:
        raw = as_argument(name).replace(b'/', b'_')[:200]
        (tmp_path / os.fsdecode(raw)).write_bytes(b'x')
        items.append(('2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881', raw))
    text = checksums.lines(items)
    assert text.count(b'\n') == len(items) and list(checksums.parse(text.splitlines(True))) == items
    names = [(digest, raw) for digest, raw in items if b'\r' not in raw]        # coreutils before 9 knows no \r
    (tmp_path / 'SHA256SUMS').write_bytes(checksums.lines(names))
    subprocess.check_call(['sha256sum', '--quiet', '-c', 'SHA256SUMS'], cwd=str(tmp_path))

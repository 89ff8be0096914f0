"""The locale of the machine says nothing about the names on a dead disk: these are bytes, and UTF-8 in the records."""
import json
import os
import subprocess
import sys

import deadroot
import pytest
import pyz

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import encoding
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import wording

SOURCE = '/srv/gr\u00f6\u00dfe/\u65e5\u672c'
PLACE = '/d\u00e4ta/\u65e5\u672c'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with lifeboat.pyz and a dead host; a container there has a bind whose names are not ASCII."""
    tmp = tmp_path_factory.mktemp('locales')
    pyz.pyz(str(tmp), 1000000000)
    host = os.fsencode(str(tmp / 'host'))
    web = deadroot.build(host + b'/var/lib/docker', containers=1, host_root=host).container('web')
    with open(web.folder + b'/config.v2.json', encoding='utf-8') as file:
        config = json.load(file)
    config['MountPoints'][PLACE] = {'Type': 'bind', 'Source': SOURCE, 'Destination': PLACE, 'RW': True,
                                    'Spec': {'Type': 'bind', 'Source': SOURCE, 'Target': PLACE}}
    with open(web.folder + b'/config.v2.json', 'w', encoding='utf-8') as file:
        json.dump(config, file, ensure_ascii=False)
    folder = host + SOURCE.encode('utf-8')
    os.makedirs(folder + b'/caf\xe9')
    with open(folder + b'/\xe6\x96\x87', 'wb') as file:
        file.write(b'here')
    return tmp


def run(place, settings, *words):
    environment = dict({'PATH': os.environ['PATH']}, **settings)
    return subprocess.run([os.fsencode(sys.executable), b'-B', os.fsencode(str(place / 'lifeboat.pyz')), b'--host-root',
                           os.fsencode(str(place / 'host'))] + [word.encode('utf-8') for word in words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, timeout=120, check=False)


@pytest.mark.parametrize('settings', [
    {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'},
    {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0', encoding.AGAIN: '1'}], ids=['started again', 'where that cannot help'])
def test_a_locale_of_ascii_finds_the_same_as_utf_8(place, settings, tmp_path):
    plain = run(place, {'LC_ALL': 'C.UTF-8'}, 'find', 'web:' + PLACE, '-print0')
    assert sorted(plain.stdout.split(b'\0')) == sorted([b''] + [
        PLACE.encode('utf-8') + name for name in (b'/caf\xe9', b'/\xe6\x96\x87')]), plain.stderr
    done = run(place, settings, 'find', 'web:' + PLACE, '-print0')
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert run(place, settings, 'look', '--json', 'web').stdout == run(place, {'LC_ALL': 'C.UTF-8'}, 'look', '--json', 'web').stdout
    dest = str(tmp_path / 'ger\u00e4t')
    done = run(place, settings, 'rescue', dest, 'web', '--host-name', 'h', '--json')
    (bundle,) = [one for one in json.loads(done.stdout.decode('ascii'))['bundles'] if one['name'].startswith('web')]
    assert not [one for one in bundle['problems'] if one['code'] == 'BIND_MISSING'], done.stderr
    assert [part['file'] for part in bundle['components'] if part['file'].startswith('binds/') and part['entries'] == 3], bundle
    assert run(place, settings, 'verify', dest).returncode == 0


def test_arguments_come_as_they_were_given(monkeypatch):
    monkeypatch.setattr(sys, 'getfilesystemencoding', lambda: 'ascii')
    monkeypatch.setattr(encoding, '_other', lambda given, environ: None)
    with open('/proc/self/cmdline', 'rb') as file:
        program, last = file.read().split(b'\0')[-3:-1]
    monkeypatch.setattr(sys, 'argv', [os.fsdecode(program), 'another reading of it'])
    assert encoding.arguments() == [last.decode('utf-8', 'surrogateescape')]


def test_within_the_process_of_another_program_its_arguments_are_not_taken(monkeypatch):
    monkeypatch.setattr(sys, 'getfilesystemencoding', lambda: 'ascii')
    monkeypatch.setattr(sys, 'argv', ['lifeboat', 'look'])
    assert encoding.arguments() == ['look']


@pytest.mark.parametrize('string, expected', [
    ('/srv/gr\u00f6\u00dfe', b'/srv/gr\xc3\xb6\xc3\x9fe'), ('caf\udce9', b'caf\xe9'), (b'caf\xe9', b'caf\xe9'), ('half\ud800', b'half\xef\xbf\xbd')])
def test_names_of_records_become_the_bytes_that_the_engine_used(string, expected):
    assert wording.raw(string) == expected

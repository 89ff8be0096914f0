"""Logs that the engine left to the journal of the host."""
import json
import os
import shutil
import struct
import types

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import compress
from ansible_collections.lifeboat.docker.plugins.module_utils.cli import main
from ansible_collections.lifeboat.docker.plugins.module_utils.disk import host as hosts
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.nerdctl import containers as nerdctl
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.shared import hostjournal
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import containerlogs
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
from ansible_collections.lifeboat.docker.tests.fixtures import journals

MACHINE = '/var/log/journal/0123456789abcdef0123456789abcdef'
OLD = '2020-01-01T00:00:00Z'
LATE = '2025-06-20T00:00:00Z'


def whose(created=LATE, programs=(b'dockerd',), owner=0, started=True, match=journals.MATCH):
    return hostjournal.Whose(match, 'web', created, started, programs, owner)


def read(root, about=None, unpack=compress.unpack_frames, keep=None):
    """(records, {code: message})."""
    log, problems = hostjournal.log_of(hosts.HostRoot(str(root)), about or whose(), 'journald')
    records = []
    if log is not None:
        records = list(log.journal.read(unpack, keep, problems))
    return records, {item.code: item.message for item in problems}


def docker_at(root, config=None):
    """A Docker host with one container, whose ID is that of the journals and whose log driver is journald."""
    expected = deadroot.build(str(root / 'var' / 'lib' / 'docker'), containers=1, host_root=str(root))
    cid = expected.containers[0].id
    for folder, folders, files in os.walk(str(root), topdown=False):
        for name in folders + files:
            if cid in name:
                os.rename(os.path.join(folder, name), os.path.join(folder, name.replace(cid, journals.IDENT)))
    home = os.path.join(str(root), 'var/lib/docker/containers', journals.IDENT)
    for name in os.listdir(home):
        if 'json.log' in name or name == 'local-logs':
            path = os.path.join(home, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    for name in ('config.v2.json', 'hostconfig.json'):
        path = os.path.join(home, name)
        with open(path, encoding='utf-8') as handle:
            value = json.loads(handle.read().replace(cid, journals.IDENT))
        if name == 'hostconfig.json':
            value['LogConfig'] = {'Type': 'journald', 'Config': {}} if config is None else config
        with open(path, 'w', encoding='utf-8') as handle:
            json.dump(value, handle)
    return expected.containers[0].name


# ---- the records


@pytest.mark.parametrize('name', journals.SINGLE + ('several',))
def test_records_are_those_of_journalctl_with_what_the_engine_prints(tmp_path, name):
    if name == 'several':
        journals.unpack(name, str(tmp_path) + os.path.dirname(MACHINE))
    else:
        journals.put(name, str(tmp_path) + MACHINE)
    kept = []
    records, problems = read(tmp_path, keep=kept.append)
    wanted = journals.expected(name)
    assert len(kept) == len(wanted)
    shown = [row for row in wanted if row[2] in '63']
    assert [(record.stream, len(record.data), journals.digest(record.data[:row[4]])) for record, row in zip(records, shown)] == [
        ('stdout' if row[2] == '6' else 'stderr', row[4] + (not row[3]), row[5]) for row in shown]
    assert [record.key for record in records] == [(row[0] // 1000000, row[0] % 1000000 * 1000) for row in shown]
    assert len(records) == len(shown) and 'LOG_DAMAGED' not in problems


def test_an_entry_is_printed_as_docker_logs_does_it(tmp_path):
    journals.put('compact-zstd', str(tmp_path) + MACHINE)
    first, second = read(tmp_path)[0][:2]
    assert containerlogs.render(first) == b'2025-06-15T15:06:41.358254000Z line 0\n'
    assert second.data == b'error \xff\x00 binary 0\n' and second.stream == 'stderr'


def test_a_user_who_writes_in_the_name_of_a_container_is_named(tmp_path):
    journals.unpack('several', str(tmp_path) + os.path.dirname(MACHINE))
    records, problems = read(tmp_path, whose(programs=(b'logger',)))
    assert problems['LOG_OTHER_WRITERS'].endswith('2 records are not of the engine but of other programs: logger of user 5001.')
    assert b'of a user 1\n' in [record.data for record in records]
    assert 'LOG_OTHER_WRITERS' not in read(tmp_path, whose(programs=(b'logger',), owner=5001))[1]


def test_where_the_field_is_not_the_engines_own_others_are_left_out(tmp_path):
    """nerdctl: the tag of a container may be the name of another service."""
    journals.unpack('several', str(tmp_path) + os.path.dirname(MACHINE))
    kept = []
    records, problems = read(tmp_path, whose(match=b'SYSLOG_IDENTIFIER=x', programs=(b'nerdctl',))._replace(alone=True), keep=kept.append)
    assert (records, kept) == ([], [])
    assert len(read(tmp_path, whose(match=b'SYSLOG_IDENTIFIER=x', programs=(b'nerdctl',)))[0]) > 40


def test_the_same_entry_in_two_files_counts_once(tmp_path):
    journals.unpack('several', str(tmp_path) + os.path.dirname(MACHINE))
    once = read(tmp_path)[0]
    place = str(tmp_path) + MACHINE
    for number, name in enumerate(sorted(os.listdir(place))):
        shutil.copy(os.path.join(place, name), os.path.join(place, 'copy%d.journal~' % number))
    os.makedirs(str(tmp_path / 'run/log/journal'))
    shutil.copytree(place, str(tmp_path / 'run/log/journal/fedcba9876543210fedcba9876543210'))
    assert read(tmp_path)[0] == once and len(once) > 30


def test_journals_of_several_machines_are_in_the_order_of_time(tmp_path):
    journals.unpack('several', str(tmp_path) + os.path.dirname(MACHINE))
    journals.put('compact-zstd', str(tmp_path) + '/var/log/journal/fedcba9876543210fedcba9876543210')
    journals.put('lz4', str(tmp_path) + '/run/log/journal/0123456789abcdef0123456789abcdef')
    records = read(tmp_path)[0]
    assert [record.key for record in records] == sorted(record.key for record in records)
    assert len(records) == sum(row[2] in '63' for name in ('several', 'compact-zstd', 'lz4') for row in journals.expected(name))


def test_links_and_other_files_are_not_followed(tmp_path):
    journals.put('compact-zstd', str(tmp_path / 'elsewhere'))
    os.makedirs(str(tmp_path) + MACHINE)
    os.symlink('/elsewhere/system.journal', str(tmp_path) + MACHINE + '/system.journal')
    os.symlink('/elsewhere', str(tmp_path) + '/var/log/journal/fedcba9876543210fedcba9876543210')
    os.mkfifo(str(tmp_path) + MACHINE + '/user-1.journal')
    assert read(tmp_path) == ([], {'LOG_NOT_ON_DISK': 'The logs of web went to the journal of the host, and there is none on this disk.'})


# ---- what is missing is said


def test_records_that_the_engine_numbered_and_the_journal_lacks(tmp_path):
    """The first ordinal in it is 4."""
    journals.put('compact-zstd', str(tmp_path) + MACHINE)
    assert '3 records that the engine numbered are not in it' in read(tmp_path)[1]['LOG_NOT_WHOLE']


def test_a_journal_that_begins_after_the_container_was_created(tmp_path):
    journals.put('lz4', str(tmp_path) + MACHINE)
    said = read(tmp_path, whose(created=OLD))[1]['LOG_NOT_WHOLE']
    assert 'it begins at 2026-' in said and said.endswith('and the container was created at %s.' % OLD)


def test_a_journal_without_the_container(tmp_path):
    journals.put('compact-zstd', str(tmp_path) + MACHINE)
    other = whose(match=b'CONTAINER_ID_FULL=' + b'c' * 64)
    records, problems = read(tmp_path, other)
    assert records == [] and 'it has nothing of the container; it begins at 2025-06-15T15:06:41' in problems['LOG_NOT_WHOLE']
    assert read(tmp_path, other._replace(started=False)) == ([], {})


@pytest.mark.parametrize('why', ['no zstd', 'damaged'])
def test_lines_that_cannot_be_unpacked_are_named(tmp_path, why):
    journals.put('compact-zstd', str(tmp_path) + MACHINE)

    def unpack(frames):
        if why == 'no zstd':
            raise LifeboatError('this host has no zstd program')
        return [None] * len(frames)
    records, problems = read(tmp_path, unpack=unpack)
    assert [record.data for record in records].count(b'(this line cannot be read)\n') == 1
    assert [record.data for record in records].count(b'(this line cannot be read)') == 1      # a part of a line
    assert '2 lines cannot be read%s' % (' (this host has no zstd program)' if why == 'no zstd' else '') in problems['LOG_DAMAGED']


def test_damaged_files_are_named_and_the_others_are_read(tmp_path):
    journals.unpack('several', str(tmp_path) + os.path.dirname(MACHINE))
    whole = read(tmp_path)[0]
    place = str(tmp_path) + MACHINE
    archived, = (name for name in os.listdir(place) if '@' in name)
    with open(os.path.join(place, 'user-5001.journal'), 'r+b') as handle:
        handle.write(b'rubbish')
    with open(os.path.join(place, archived), 'r+b') as handle:
        handle.seek(136)
        handle.truncate(struct.unpack('<Q', handle.read(8))[0] - 2000)
    with open(os.path.join(place, 'system@torn.journal~'), 'wb'):
        pass
    records, problems = read(tmp_path)
    said = problems['LOG_DAMAGED']
    assert 'user-5001.journal cannot be read (not a journal file)' in said and 'system@torn.journal~ cannot be read' in said
    assert '%s: its index is damaged' % archived in said
    assert [record for record in records if b'after' in record.data] == [record for record in whole if b'after' in record.data]


def test_what_is_exported_becomes_the_same_journal_again():
    entry = hostjournal.journal.Entry(7, 1750000000000001, 9, b'\x01' * 16, 255, [
        b'MESSAGE=two\nlines', b'PRIORITY=6', b'_BOOT_ID=' + b'01' * 16, b'NAME=b\xc3\xa4r\ttab', b'ODD=\xff'], 0)
    assert hostjournal.exported(entry, b'\x02' * 16) == (
        b'__CURSOR=s=' + b'02' * 16 + b';i=7;b=' + b'01' * 16 + b';m=9;t=6379da05b6001;x=ff\n'
        b'__REALTIME_TIMESTAMP=1750000000000001\n__MONOTONIC_TIMESTAMP=9\n_BOOT_ID=' + b'01' * 16 + b'\n'
        b'MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\nPRIORITY=6\nNAME=b\xc3\xa4r\ttab\nODD\n\x01\0\0\0\0\0\0\0\xff\n\n')


# ---- through the engines


def test_a_rescue_has_the_logs_and_nothing_of_other_containers(tmp_path):
    name = docker_at(tmp_path / 'host')
    journals.put('compact-zstd', str(tmp_path / 'host') + MACHINE)
    out = tmp_path / 'out'
    for changed in (True, False):
        with registry.open_host(os.fsencode(str(tmp_path / 'host')), []) as host:
            result = run.rescue(host, run.Request(os.fsencode(str(out)), host_name='box', compression='none', include=('config', 'logs')))
        assert result['changed'] is changed
    bundle = next(path for path in (out / 'box').iterdir() if name in path.name)
    logs = bundle / 'logs'
    assert sorted(os.listdir(str(logs))) == ['container.log', 'journal.export']
    text, raw = (logs / 'container.log').read_bytes(), (logs / 'journal.export').read_bytes()
    assert text.startswith(b'2025-06-15T15:06:41.358254000Z line 0\n2025-06-15T15:06:43.216792000Z error \xff\0 binary 0\n')
    assert text.count(b'\n') == 23 and raw.count(b'__CURSOR=') == 24
    assert b'secret' not in text and b'secret' not in raw
    assert 'systemd-journal-remote -o container.journal logs/journal.export\n' in (bundle / 'README.txt').read_text('utf-8')
    sums = (bundle / 'SHA256SUMS').read_bytes()
    assert b'logs/journal.export' in sums and b'logs/container.log' in sums


def test_facts_say_that_the_size_is_unknown(tmp_path):
    docker_at(tmp_path)
    assert facts_log(tmp_path) == ({'driver': 'journald', 'bytes': 0, 'max_size': None, 'files': []}, ['LOG_NOT_ON_DISK'])
    journals.put('compact-zstd', str(tmp_path) + MACHINE)
    assert facts_log(tmp_path) == ({'driver': 'journald', 'bytes': None, 'max_size': None, 'files': []}, [])


def facts_log(root):
    with registry.open_host(os.fsencode(str(root)), []) as host:
        container = gather.gather(host, gather.Options())['containers'][0]
    return container['log'], [item['code'] for item in container['problems'] if item['code'].startswith('LOG_')]


def test_a_container_whose_log_driver_is_lost_has_what_the_journal_has(tmp_path):
    docker_at(tmp_path, {})
    assert facts_log(tmp_path)[0]['driver'] == 'json-file'
    journals.put('compact-zstd', str(tmp_path) + MACHINE)
    assert facts_log(tmp_path)[0]['driver'] == 'journald'


def test_the_tool_prints_them(tmp_path, capfdbinary):
    name = docker_at(tmp_path)
    journals.put('compact-zstd', str(tmp_path) + MACHINE)
    capfdbinary.readouterr()

    def lifeboat(*words):
        status = main.main(['--host-root', str(tmp_path), 'logs'] + list(words) + [name])
        return (status,) + tuple(capfdbinary.readouterr())
    status, out, err = lifeboat('-t')
    assert status == 1 and out.startswith(b'2025-06-15T15:06:41.358254000Z line 0\n') and b'2025-06-15T15:06:43.216792000Z error' in err
    assert b'3 records that the engine numbered are not in it' in err
    assert lifeboat('--since', '2025-06-15T15:06:45Z', '--until', '2025-06-15T15:06:46Z')[1] == b'line 1\n'
    assert lifeboat('--tail', '1')[1] == b'\n'
    assert [item['stream'] for item in json.loads(lifeboat('--json')[1])['records'][:2]] == ['stdout', 'stderr']


@pytest.mark.parametrize('template, tag', [
    ('', 'a' * 12), ('{{.ID}}', 'a' * 12), ('web/{{ .FullID }}', 'web/' + 'a' * 64), ('{{.Namespace}}.{{.Odd}}', 'ns.{{.Odd}}')])
def test_what_nerdctl_calls_a_container_in_the_journal(template, tag):
    assert nerdctl._tag(template, types.SimpleNamespace(id='a' * 64, namespace='ns')) == tag

"""Bundles into repositories and back: names of hostile hosts, programs that fail, archives that no bundle has."""
import hashlib
import io
import os
import sys
import tarfile
import time

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.plugin_utils.repositories import (
    base,
    fetching,
    hook,
    programs,
    sending,
    tags,
)
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes

HOSTS = 1000 if os.environ.get('LIFEBOAT_SOAK') else 50
HOSTILE = ['--repo=/tmp/x', 'a,b=c', 'bundle=0', '../../etc', 'a\nb', 'a\0b', '$(id)', '`id`', "';", '{hostname}', '*', 'ü', '~', 'a~b', '%41', ' ',
           'x' * 500, 'x' * 500 + 'y', '\udcff', 'lifeboat', '-', '.', '\x1b[31m']


def container(folder, name='web', **more):
    manifest = {'kind': 'container', 'container': {'name': name, 'id': 'ab' * 32}, 'engine': 'docker'}
    return make_bundle(folder, {'volumes/data.tar': tar_bytes([ROOT, member('./a', b'x')]), 'README.txt': b'r'}, dict(manifest, **more))


def tags_of(path):
    return sending.check(path, {}).tags


# -- tags

@pytest.mark.parametrize('name', HOSTILE)
def test_no_name_is_anything_but_one_tag(name, tmp_path):
    found = tags_of(container(tmp_path / 'dead1' / 'web-abababababab', name))
    for word in found.words()[1:]:
        key, dummy, value = word.partition('=')
        assert tags.VALUE.match(value) and not set(value) & set(', \n{}*=/$`\'"'), word
    assert found.words()[0] == 'lifeboat' and len(found.words()) == 10
    again = tags.read(found.words())
    assert again.bundle == found.bundle and again.group == found.group
    if len(name) < 100 and '\udcff' not in name:
        assert again == found
    label = found.label()
    assert label == label.strip('.-') and set(label) <= set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-')


def test_two_names_are_two_values():
    assert len({tags.encoded(name) for name in HOSTILE}) == len(HOSTILE)


def test_the_host_is_the_folder_and_not_what_the_bundle_says(tmp_path):
    assert tags_of(container(tmp_path / 'dead1' / 'x', source={'hostname': 'other'})).host == 'dead1'


def test_a_thousand_hosts_with_the_same_containers_are_a_thousand_groups():
    manifest = {'engine': 'docker', 'source': {'data_root': '/var/lib/docker'}}
    groups = {tags._group(manifest, 'host%d' % number, 'container', name, '') for number in range(1000) for name in ('web', 'db', 'web-db')}
    assert len(groups) == 3000


def test_things_that_have_one_name_at_one_time_are_counted_apart():
    def group(ident='', **manifest):
        return tags._group(manifest, 'h', 'container', 'web', ident)
    assert group(engine='docker') != group(engine='podman')
    assert group(source={'data_root': '/a'}) != group(source={'data_root': '/b'})
    assert group('1', pod={'id': 'p'}) != group('2', pod={'id': 'p'})
    assert group('1') == group('2')                     # made anew by compose


@pytest.mark.parametrize('change', [
    lambda words: words[1:], lambda words: words + words[-1:], lambda words: [word for word in words if not word.startswith('bundle=')],
    lambda words: [word.replace('kind=container', 'kind=else') for word in words], lambda words: words + ['host=dead2'],
    lambda words: [word.replace('name=web', 'name=../web') for word in words], lambda words: 'lifeboat', lambda words: None,
    lambda words: [word.replace('status=complete', 'status=good') for word in words], lambda words: [7] + words[1:],
    lambda words: [word.replace('name=web', 'name=w\nb') for word in words], lambda words: [word.replace('time=', 'time=x') for word in words]])
def test_what_no_bundle_of_ours_has_is_not_ours(change, tmp_path):
    words = tags_of(container(tmp_path / 'dead1' / 'x')).words()
    assert tags.read(words) and tags.read(words + ['more', 'other=1'])
    assert tags.read(change(words)) is None


def test_which_bundles_are_meant(tmp_path):
    found = tags_of(container(tmp_path / 'dead1' / 'x'))
    for given, fits in [({}, True), ({'host': 'dead*', 'container': 'web'}, True), ({'volume': 'web'}, False), ({'host': 'dead2'}, False),
                        ({'time': '2026-01-02'}, True), ({'time': '2026-01-01'}, False), ({'time': '2026-01-02T03:04:05Z'}, True),
                        ({'status': 'complete', 'id': 'ab' * 6}, True)]:
        assert tags.wanted(given).matches(found) is fits, given
    for given in ({'wat': 'x'}, {'group': 'x'}, {'time': 'yesterday'}, {'host': ''}, {'host': ['a']}):
        with pytest.raises(LifeboatError):
            tags.wanted(given)


# -- sending

class Fake(base.Repository):
    NAME = 'fake'
    PROGRAM = 'true'

    def secure(self, environment, password):
        self.kept, self.fails, self.meanwhile = {}, None, None

    def stored(self):
        return list(self.kept.values())

    def store(self, folder, names, tags):
        if self.fails:
            raise self.fails
        if self.meanwhile:
            self.meanwhile()
        self.kept[tags.bundle] = base.Stored(tags.bundle, 'now', tags)
        self.names = list(names)
        return tags.bundle, 7

    def remove(self, key):
        del self.kept[key]


@pytest.fixture
def fake():
    yield Fake(base.Settings('/nowhere', None, 'secret-word', None, {}, 0))
    base.KINDS.pop('fake', None)


def sent(repository, paths, check_mode=False, after=None):
    sender = sending.Sender(repository, after, check_mode, lambda line: None)
    why = sender.send(paths)
    return why, [item['state'] for item in sender.bundles], sender


def test_each_bundle_is_sent_once(fake, tmp_path):
    paths = [container(tmp_path / 'dead1' / name, name) for name in ('web', 'db')]
    assert sent(fake, paths, True)[1] == ['would be sent', 'would be sent'] and not fake.kept
    why, states, sender = sent(fake, paths)
    assert (why, states) == (None, ['sent', 'sent']) and sending.summary(sender.bundles)['bytes_added'] == 14
    assert sent(fake, paths)[1] == ['present', 'present']
    container(tmp_path / 'dead1' / 'db', 'db', created='2026-02-02T03:04:05Z')
    assert sent(fake, paths)[1] == ['present', 'sent'] and len(fake.kept) == 3


def test_hosts_whose_containers_have_the_same_names_and_ids(fake, tmp_path):
    paths = [make_bundle(tmp_path / ('host%d' % number) / 'web-abababababab', {}, {
        'kind': 'container', 'container': {'name': 'web', 'id': 'ab' * 32}, 'created': '2026-01-02T%02d:%02d:00Z' % divmod(number, 60)})
        for number in range(HOSTS)]
    assert sent(fake, paths)[1] == ['sent'] * HOSTS
    kept = fake.stored()
    assert len(kept) == len({item.tags.group for item in kept}) == len({item.tags.host for item in kept}) == HOSTS
    assert sent(fake, paths)[1] == ['present'] * HOSTS
    assert [item.tags.host for item in fetching.choose(kept, tags.wanted({'host': 'host7', 'container': 'web'}))] == ['host7']


def test_only_files_that_were_verified_are_sent(fake, tmp_path):
    path = container(tmp_path / 'dead1' / 'web')
    for name in ('planted', 'SHA256SUMS.sig', 'custody.json'):
        (tmp_path / 'dead1' / 'web' / name).write_text('x')
    assert sent(fake, [path])[1] == ['sent']
    assert fake.names == [b'README.txt', b'SHA256SUMS', b'SHA256SUMS.sig', b'custody.json', b'manifest.json', b'volumes/data.tar']


def test_a_damaged_bundle_is_refused_and_the_next_one_sent(fake, tmp_path):
    paths = [container(tmp_path / 'dead1' / name, name) for name in ('web', 'db')]
    (tmp_path / 'dead1' / 'web' / 'README.txt').write_text('!')
    why, states, sender = sent(fake, paths)
    assert (why, states) == (None, ['refused', 'sent']) and 'README.txt has another SHA-256' in sender.bundles[0]['reason']


def test_what_changed_while_it_was_sent_is_taken_back(fake, tmp_path):
    paths = [container(tmp_path / 'dead1' / 'web')]
    fake.meanwhile = lambda: (tmp_path / 'dead1' / 'web' / 'README.txt').write_text('?')
    why, states, sender = sent(fake, paths)
    assert states == ['refused'] and not fake.kept and 'was changed after it was checked' in sender.bundles[0]['reason']


def test_a_repository_that_fails_ends_the_run(fake, tmp_path):
    fake.fails = base.RepositoryError('No room.')
    why, states, dummy = sent(fake, [container(tmp_path / 'dead1' / name, name) for name in ('web', 'db')])
    assert (why, states) == ('No room.', ['failed'])


def test_archives_that_are_compressed_are_named(fake, tmp_path):
    path = make_bundle(tmp_path / 'dead1' / 'v', {'volumes/data.tar.zst': b'x'})
    assert 'compression: none' in sent(fake, [path])[2].hints()[0]
    assert sent(fake, [container(tmp_path / 'dead1' / 'web')])[2].hints() == []


# -- programs

def shell(tmp_path, text):
    path = tmp_path / 'program'
    path.write_text('#!%s\nimport os, sys\n%s\n' % (sys.executable, text))
    path.chmod(0o755)
    return str(path)


def test_no_message_repeats_a_secret(tmp_path):
    path = shell(tmp_path, 'sys.exit("no way in with %s at https://me:word@host \\x1b[31m" % os.environ["P"])')
    program = programs.Program(path, programs.surroundings({'P': 'hunter22'}), programs.secret_values({'P': 'hunter22'}, None))
    with pytest.raises(programs.ProgramError) as raised:
        program.run([])
    message = str(raised.value)
    assert 'hunter22' not in message and 'me:word' not in message and '\x1b' not in message and 'no way in' in message


def test_the_error_of_a_traceback_is_said(tmp_path):
    path = shell(tmp_path, 'sys.exit("Local Exception\\nTraceback (most recent call last):\\n  File x\\nOSError: No space left\\n\\nPlatform: Linux\\n'
                           'Borg: 1.2\\nsys.argv: [1]")')
    with pytest.raises(programs.ProgramError) as raised:
        programs.Program(path, dict(os.environ), ()).run([])
    assert str(raised.value) == 'program ended with exit status 1 and said: OSError: No space left'


def test_the_environment(monkeypatch):
    monkeypatch.setenv('ANSIBLE_VAULT_PASSWORD_FILE', '/x')
    monkeypatch.setenv('RESTIC_CACHE_DIR', '/c')
    monkeypatch.setenv('PYTHONPATH', '/p')              # of Ansible's Python; borg has another one
    found = programs.surroundings({'AWS_REGION': 'x', 'N': 7})
    assert (found['AWS_REGION'], found['N'], found['RESTIC_CACHE_DIR'], found['LC_ALL']) == ('x', '7', '/c', 'C.UTF-8')
    assert 'ANSIBLE_VAULT_PASSWORD_FILE' not in found and 'PYTHONPATH' not in found
    for wrong in ({'A=B': 'x'}, {'': 'x'}, {'A': 'x\0'}):
        with pytest.raises(LifeboatError):
            programs.surroundings(wrong)


def test_kinds_register_themselves_and_secrets_are_no_arguments(tmp_path):
    base.load()
    assert {'restic', 'borg'} <= set(base.KINDS)
    out = tmp_path / 'arguments'
    path = shell(tmp_path, 'open(%r, "a").write(repr(sys.argv))\nprint("[]")' % str(out))
    for kind in ('restic', 'borg'):
        repository = base.open_repository(kind, base.Settings('https://u:pass4711@h/x', path, 'secret4711', None, {'K': 'key4711'}, 0))
        assert 'pass4711' not in repository.shown and 'secret4711' in repository.program.environment.values()
        try:
            repository.stored()
        except LifeboatError:
            pass
    assert '4711' not in out.read_text() and 'lifeboat' in out.read_text()


@pytest.mark.parametrize('given, good', [
    (None, True), ('buzhash,12,16,14,4095', True), ('buzhash,9,23,9,63', True), ('fixed,65536', True), ('fixed,512,8192', True),
    ('', False), ('12,16,14,4095', False), ('default', False), ('buzhash,8,16,14,4095', False), ('buzhash,12,24,14,4095', False),
    ('buzhash,14,16,12,4095', False), ('buzhash,12,13,14,4095', False), ('buzhash,12,16,14,4096', False), ('buzhash,12,16,14,1', False),
    ('buzhash,12,16,14', False), ('buzhash,12,16,14,4095,1', False), ('buzhash,12,16,14,4095\n', False), ('buzhash, 12,16,14,4095', False),
    ('buzhash,+12,16,14,4095', False), ('buzhash,\u0661\u0662,16,14,4095', False), ('fixed,0', False), ('fixed,511', False),
    ('fixed,99999999', False), ('fixed,65536,99999999', False), ('fixed,65536 --exclude=*', False), ('--remote-path=/x', False), ('$(id)', False),
    ('fixed,1e6', False), ('fixed,-65536', False)])
def test_how_borg_cuts(tmp_path, given, good):
    """Only what borg itself takes, word for word; and it is one argument."""
    out = tmp_path / 'arguments'
    path = shell(tmp_path, 'open(%r, "a").write("".join(word + "\\n" for word in sys.argv))\nprint("{}")' % str(out))
    settings = base.Settings('/x', path, 'p', None, {}, 0, given)
    if not good:
        with pytest.raises(LifeboatError) as raised:
            base.open_repository('borg', settings)
        assert 'chunker_params' in str(raised.value) and 'buzhash,12,16,14,4095' in str(raised.value)
        return
    with pytest.raises(base.RepositoryError):           # this borg read no file
        base.open_repository('borg', settings).store(os.fsencode(str(tmp_path)), [b'a'], tags_of(container(tmp_path / 'dead1' / 'web')))
    assert '--chunker-params=%s' % (given or 'buzhash,13,22,17,4095') in out.read_text().split('\n')
    with pytest.raises(LifeboatError) as raised:
        base.open_repository('restic', settings._replace(chunker_params='fixed,65536'))
    assert 'chunker_params is for borg' in str(raised.value)


def test_a_kind_that_there_is_not():
    with pytest.raises(LifeboatError) as raised:
        base.open_repository('tape', base.Settings('/x', None, None, None, {}, 0))
    assert 'kind has no "tape"' in str(raised.value)


def test_ten_thousand_snapshots_are_listed_and_those_of_others_are_not(tmp_path):
    words = tags.Tags('%064d', 'host%d', 'container', 'web', 'ab' * 6, 'complete', '2026-01-02T03:04:05Z', 'web-abababababab', '%016d').words()
    path = shell(tmp_path, 'import json\nwords = %r\n'
                 'print(json.dumps([{"id": "%%064d" %% n, "time": "2026-01-02T03:04:05.%%09dZ" %% n, "tags": ["lifeboat", "bundle=%%064d" %% n, '
                 '"host=host%%d" %% (n //10), "group=%%016d" %% (n // 5)] + words for_n} for n in range(10000)] + [{"id": "--repo", "time": "x", '
                 '"tags": words}, 7, {"id": "0" * 64, "time": "2026-01-02T03:04:05Z", "tags": ["mine"]}]))'.replace(' for_n', '')
                 % [word for word in words if not word.startswith(('bundle', 'host', 'group', 'lifeboat'))])
    found = base.open_repository('restic', base.Settings('/x', path, 'p', None, {}, 0)).stored()
    assert len(found) == 10000 and found[-1].key == '%064d' % 9999
    chosen = fetching.choose(found, tags.wanted({'host': 'host77'}))
    assert [item.key for item in chosen] == ['%064d' % 774, '%064d' % 779]


def test_the_newest_is_the_newest_in_every_time_zone(tmp_path):
    """restic writes the local time of each machine. Where summer ends an hour comes twice."""
    times = ['2026-10-25T02:50:00.5+02:00', '2026-10-25T02:10:00+01:00', '2026-10-25T01:20:00.25Z', '2026-10-25T01:20:00Z', '2026-10-25T09:00:00+09:00',
             '2026-02-30T00:00:00Z', '2026-10-25T99:00:00Z', '0001-01-01T00:00:00+14:00', 7, None]
    words = tags.Tags('a' * 64, 'h', 'container', 'web', '', 'complete', 'unknown', 'web', 'b' * 16).words()
    path = shell(tmp_path, 'import json\nprint(json.dumps([{"id": "%%064d" %% n, "time": time, "tags": %r} for n, time in enumerate(%r)]))' % (words, times))
    found = base.open_repository('restic', base.Settings('/x', path, 'p', None, {}, 0)).stored()
    assert [int(item.key) for item in found] == [4, 0, 1, 3, 2]


@pytest.mark.parametrize('said', ['[{"remove": 7}]', '[{"remove": {"a": 1}}]', '[{"remove": null}, 7]', '[]', 'null'])
def test_an_answer_of_another_shape_ends_no_retention_with_a_traceback(tmp_path, said):
    path = shell(tmp_path, 'print(%r)' % said)
    assert base.open_repository('restic', base.Settings('/x', path, 'p', None, {}, 0)).prune({'last': 1}, False) == 0


def test_a_password_file(tmp_path):
    (tmp_path / 'p').write_text('first\nsecond\n')
    settings = base.Settings('/x', '/bin/true', None, str(tmp_path / 'p'), {}, 0)
    assert base.open_repository('restic', settings).program.environment['RESTIC_PASSWORD'] == 'first'
    (tmp_path / 'p').write_text('\n')
    with pytest.raises(LifeboatError):
        base.open_repository('restic', settings)


def test_a_locked_repository_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(base, 'PAUSE', 0.01)
    path = shell(tmp_path, 'c = %r\nn = len(open(c).read()) if os.path.exists(c) else 0\nopen(c, "a").write("x")\n'
                           'print("[]") if n > 3 else sys.exit("Fatal: unable to create lock in backend: repository is already locked")' % str(tmp_path / 'n'))
    assert base.open_repository('restic', base.Settings('/x', path, 'p', None, {}, 60)).stored() == []
    os.unlink(str(tmp_path / 'n'))
    with pytest.raises(base.RepositoryError) as raised:
        base.open_repository('restic', base.Settings('/x', path, 'p', None, {}, 0)).stored()
    assert 'is locked' in str(raised.value) and 'restic unlock' in str(raised.value)


def test_an_interrupted_run_ends_its_program(tmp_path):
    path = shell(tmp_path, 'import time\nopen(%r, "w").write(str(os.getpid()))\ntime.sleep(100)' % str(tmp_path / 'pid'))
    program = programs.Program(path, dict(os.environ), ())
    messages = (tmp_path / 'm').open('w+b')
    process = program.stream([], messages)
    until = time.monotonic() + 20
    while not (tmp_path / 'pid').exists() and time.monotonic() < until:
        time.sleep(0.01)
    programs.end(process)
    assert process.returncode is not None and process.returncode != 0
    messages.close()


@pytest.mark.parametrize('given, kept', [
    ({'last': 3}, {'last': 3}), ({'last': '3', 'within': '30d'}, {'last': 3, 'within': '30d'}), ({'last': 1, 'daily': 0}, {'last': 1}), ({}, {}),
    ({'last': 0}, None), ({'last': -1}, None), ({'last': True}, None), ({'wat': 1}, None), ({'within': '30d --x'}, None), ({'last': '1\n'}, None),
    ({'within': '0d'}, None), ({'last': 1.5}, None)])
def test_a_policy_keeps_something(given, kept):
    if kept is None:
        with pytest.raises(LifeboatError):
            base.policy(given)
    else:
        assert base.policy(given) == kept


# -- the hook

def test_the_hook_gets_the_bundle_once(tmp_path, fake):
    path = container(tmp_path / 'dead1' / 'we b;x', '$(id)')
    script = shell(tmp_path, 'said = sys.argv[1:], os.environ["LIFEBOAT_NAME"], os.environ["LIFEBOAT_BUNDLE"]\n'
                             'open(%r, "a").write(repr(said) + "\\n")' % str(tmp_path / 'said'))
    words = [script, 'put', '{bundle}', 'x{bundle}']
    assert sent(None, [path], True, hook.Hook(words, {}))[1] == ['would be sent'] and not (tmp_path / 'said').exists()
    assert sent(None, [path], False, hook.Hook(words, {}))[1] == ['sent']
    assert sent(None, [path], False, hook.Hook(words, {}))[1] == ['present']
    assert (tmp_path / 'said').read_text() == '%r\n' % ((['put', os.fsdecode(path), 'x{bundle}'], '%24%28id%29', os.fsdecode(path)),)
    assert sent(None, [path], False, hook.Hook(words + ['more'], {}))[1] == ['sent']


def test_a_hook_that_fails_is_called_again(tmp_path):
    path = container(tmp_path / 'dead1' / 'web')
    script = shell(tmp_path, 'sys.exit("no network" if not os.path.exists(%r) else 0)' % str(tmp_path / 'network'))
    why, states, sender = sent(None, [path], False, hook.Hook([script], {}))
    assert states == ['refused'] and 'no network' in sender.bundles[0]['reason']
    (tmp_path / 'network').write_text('')
    assert sent(None, [path], False, hook.Hook([script], {}))[1] == ['sent']


# -- back

class Given(Fake):
    """A repository that gives the tar archive DATA, whatever is asked for."""
    NAME = 'given'
    DATA = ''

    def tar(self, key):
        return ['-c', 'import sys; sys.stdout.buffer.write(open(%r, "rb").read())' % self.DATA]


@pytest.fixture
def given(tmp_path):
    Given.DATA = str(tmp_path / 'tar')
    yield Given(base.Settings('/nowhere', sys.executable, None, None, {}, 0))
    base.KINDS.pop('given', None)


def packed(tmp_path, path, more=()):
    with tarfile.open(str(tmp_path / 'tar'), 'w') as archive:
        for name in sorted(os.listdir(path)):
            archive.add(os.path.join(os.fsdecode(path), os.fsdecode(name)), os.fsdecode(name))
        for info, data in more:
            archive.addfile(info, io.BytesIO(data or b''))


def test_a_bundle_comes_back_verified(given, tmp_path):
    path = container(tmp_path / 'dead1' / 'web')
    item = base.Stored('k', 'now', tags_of(path))
    packed(tmp_path, path)
    dest = os.fsencode(str(tmp_path / 'back'))
    assert fetching.fetch(given, item, dest, True)['changed'] and not os.path.exists(dest)
    result = fetching.fetch(given, item, dest, False)
    assert result == {'path': str(tmp_path / 'back' / 'dead1' / 'web'), 'changed': True}
    assert reading.inspect_bundle(result['path']).status == 'verified' and os.stat(result['path']).st_mode & 0o777 == 0o700
    assert fetching.fetch(given, item, dest, False)['changed'] is False
    (tmp_path / 'back' / 'dead1' / 'web' / 'README.txt').write_text('mine')
    with pytest.raises(LifeboatError) as raised:
        fetching.fetch(given, item, dest, False)
    assert 'exists and is not this bundle' in str(raised.value)


@pytest.mark.parametrize('more', [
    member('../out', b'x'), member('/tmp/out', b'x'), member('link', kind=tarfile.SYMTYPE, linkname='/etc'), member('a/../../out', b'x'),
    member('hard', kind=tarfile.LNKTYPE, linkname='README.txt'), member('device', kind=tarfile.CHRTYPE), member('fifo', kind=tarfile.FIFOTYPE),
    member('README.txt', b'again'), member('README.txt/x', b'y')])
def test_what_no_bundle_has_is_refused_and_nothing_is_left(given, tmp_path, more):
    path = container(tmp_path / 'dead1' / 'web')
    packed(tmp_path, path, [more])
    with pytest.raises(LifeboatError):
        fetching.fetch(given, base.Stored('k', 'now', tags_of(path)), os.fsencode(str(tmp_path / 'back')), False)
    assert os.listdir(str(tmp_path / 'back' / 'dead1')) == [] and not os.path.exists(str(tmp_path / 'back' / 'out'))


def test_another_bundle_than_the_tag_says_is_refused(given, tmp_path):
    path = container(tmp_path / 'dead1' / 'web')
    item = base.Stored('k', 'now', tags_of(path)._replace(bundle=hashlib.sha256(b'x').hexdigest()))
    packed(tmp_path, path)
    with pytest.raises(LifeboatError) as raised:
        fetching.fetch(given, item, os.fsencode(str(tmp_path / 'back')), False)
    assert 'another bundle' in str(raised.value) and os.listdir(str(tmp_path / 'back' / 'dead1')) == []


@pytest.mark.parametrize('name, folder', [('../../etc', 'etc'), ('/', 'host'), ('.hidden', 'hidden')])
def test_a_hostile_tag_is_no_path(given, tmp_path, name, folder):
    path = container(tmp_path / 'dead1' / 'web')
    packed(tmp_path, path)
    result = fetching.fetch(given, base.Stored('k', 'now', tags_of(path)._replace(host=name, folder=name)), os.fsencode(str(tmp_path / 'back')), False)
    assert os.path.dirname(os.path.dirname(result['path'])) == str(tmp_path / 'back')


def test_the_newest_of_each_thing(tmp_path):
    one = tags_of(container(tmp_path / 'dead1' / 'web'))
    items = [base.Stored(str(number), str(number), one._replace(bundle='%064d' % number, group='%016d' % (number % 2))) for number in range(4)]
    assert [item.key for item in fetching.choose(items, tags.wanted({}))] == ['2', '3']
    assert [item.key for item in fetching.choose(items, tags.wanted({'bundle': '%064d' % 0}))] == ['0']
    assert len(fetching.choose(items, tags.wanted({}), True)) == 4

"""The folder of bundles: names that others planted, two runs at once, and kills at every step of giving a bundle its name."""
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading, store, swap
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.images import store as imagestore
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run

root_only = pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a folder to another user')
STRANGER = 12345
NAME = 'web-0123456789ab'


@pytest.fixture
def folder(tmp_path):
    made = store.FolderStore(os.fsencode(str(tmp_path / 'dest')), b'box')
    made.prepare()
    yield made
    made.close()


def make(where, word, finish=True, keep=''):
    """A small bundle with WORD in it -> FolderBundle."""
    bundle = where.begin(NAME)
    files = {'data': word.encode(), 'manifest.json': json.dumps({
        'schema_version': 1, 'kind': 'container', 'status': 'complete', 'word': word}).encode()}
    for name, raw in files.items():
        bundle.write(name, raw)
    bundle.write('SHA256SUMS', ''.join('%s  %s\n' % (hashlib.sha256(raw).hexdigest(), name) for name, raw in sorted(files.items())).encode())
    bundle.note({'data': {'file': 'data'}})
    if finish:
        bundle.finish(keep)
    return bundle


def words(path):
    """{name: word} of the bundles that docker_bundle_info shows; each must be whole."""
    found = {}
    for each in reading.find_bundles(path):
        info = reading.inspect_bundle(each)
        assert info.status == reading.VERIFIED, info
        with open(os.path.join(each, b'data')) as data:
            assert data.read() == info.manifest['word']
        found[os.fsdecode(os.path.basename(each))] = info.manifest['word']
    return found


def tree(path):
    return sorted(os.path.join(at, name) for at, folders, names in os.walk(str(path)) for name in folders + names)


# -- names that others planted -------------------------------------------------------------------------------------------------------


def plant(path, kind, tmp_path):
    """Make PATH what somebody else left there -> the folder that must stay untouched."""
    victim = tmp_path / 'victim'
    victim.mkdir(exist_ok=True)
    os.chmod(str(victim), 0o755)
    (victim / 'precious').write_text('kept')
    if kind == 'link':
        os.symlink(str(victim), str(path))
        return victim
    path.mkdir()
    (path / 'precious').write_text('kept')
    if kind == 'open':
        os.chmod(str(path), 0o777)
    else:
        os.chown(str(path), STRANGER, STRANGER)
    return path


KINDS = ['link', 'open', pytest.param('foreign', marks=root_only)]


@pytest.mark.parametrize('kind', KINDS)
def test_the_folder_of_the_host(kind, tmp_path):
    (tmp_path / 'dest').mkdir()
    plant(tmp_path / 'dest' / 'box', kind, tmp_path)
    before = tree(tmp_path)
    made = store.FolderStore(os.fsencode(str(tmp_path / 'dest')), b'box')
    for call in (made.prepare, made.lock):
        with pytest.raises(LifeboatError, match='dest/box (is a link|can be written|belongs to)'):
            call()
    assert tree(tmp_path) == before


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', ['.%s.partial' % NAME, NAME])
def test_names_of_a_bundle(name, kind, folder, tmp_path):
    untouched = plant(tmp_path / 'dest' / 'box' / name, kind, tmp_path)
    before = tree(tmp_path)
    assert folder.manifest(NAME) == {} and folder.verified(NAME) is None
    with pytest.raises(LifeboatError, match='%s (is a link|can be written|belongs to)' % name.replace('.', '[.]')):
        make(folder, 'new')
    assert (untouched / 'precious').read_text() == 'kept' and tree(tmp_path) == before


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('inner', ['config', 'volumes'])
def test_folders_in_a_bundle_at_work(inner, kind, folder, tmp_path):
    bundle = make(folder, 'new', finish=False)
    untouched = plant(tmp_path / 'dest' / 'box' / ('.%s.partial' % NAME) / inner, kind, tmp_path)
    with pytest.raises(LifeboatError, match='%s (is a link|can be written|belongs to)' % inner):
        bundle.write(inner + '/file', b'x')
    # what does not belong into the bundle goes, but nothing behind a link
    bundle.drop_others(['data', 'manifest.json', 'SHA256SUMS', 'progress.json'])
    assert not os.path.lexists(os.path.join(bundle.path, inner.encode()))
    assert kind != 'link' or (untouched / 'precious').read_text() == 'kept'


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('where', ['images', 'images/blobs', 'images/blobs/sha256'])
def test_the_folder_of_layers(where, kind, folder, tmp_path):
    (tmp_path / 'dest' / 'box' / where).parent.mkdir(parents=True, exist_ok=True)
    for path in (tmp_path / 'dest' / 'box').rglob('*'):
        path.chmod(0o700)
    plant(tmp_path / 'dest' / 'box' / where, kind, tmp_path)
    before = tree(tmp_path)
    digest = 'sha256:' + hashlib.sha256(b'layer').hexdigest()
    images = folder.images()
    for call in (lambda: images.put(digest, 5, lambda write: write(b'layer')), lambda: images.note([b'{}'], [])):
        with pytest.raises(LifeboatError, match='(is a link|can be written|belongs to)'):
            call()
    assert tree(tmp_path) == before


@root_only
def test_a_layer_of_somebody_else_is_not_taken(folder, tmp_path):
    """He could change it afterwards: a hard link is the same file."""
    digest = 'sha256:' + hashlib.sha256(b'layer').hexdigest()
    images = folder.images()
    images.put(digest, 5, lambda write: write(b'layer'))
    bundle = make(folder, 'new', finish=False)
    assert bundle.adopt(images.blob(digest), 'image/' + imagestore.BLOBS + 'x')
    os.chown(os.fsdecode(images.blob(digest)), STRANGER, STRANGER)
    assert not folder.images().has(digest, 5)
    assert not bundle.adopt(images.blob(digest), 'image/' + imagestore.BLOBS + 'y')
    assert not os.path.exists(bundle.absolute('image/' + imagestore.BLOBS + 'y'))


def test_a_bundle_that_is_taken_up_again_is_private(folder, tmp_path):
    make(folder, 'old', finish=False)
    os.chmod(str(tmp_path / 'dest' / 'box' / ('.%s.partial' % NAME)), 0o755)
    make(folder, 'new')
    assert os.stat(str(tmp_path / 'dest' / 'box' / NAME)).st_mode & 0o7777 == 0o700


# -- one rescue at a time ------------------------------------------------------------------------------------------------------------


def test_a_second_rescue_is_told_who_has_the_folder(folder, tmp_path):
    folder.lock()
    folder.lock()                       # it has it already
    other = store.FolderStore(os.fsencode(str(tmp_path / 'dest')), b'box')
    try:
        with pytest.raises(LifeboatError) as raised:
            other.lock(0.3)
        said = str(raised.value)
        assert 'process %d, ' % os.getpid() in said and 'since 20' in said and 'dest/box' in said
        folder.close()
        assert os.listdir(str(tmp_path / 'dest' / 'box')) == []
        other.lock(0)
    finally:
        other.close()


RUNNER = """
import os, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
with registry.open_host(os.fsencode(sys.argv[1]), [b'/var/lib/docker']) as host:
    result = run.rescue(host, run.Request(os.fsencode(sys.argv[2]), host_name='box', compression='none', include=tuple(sys.argv[3].split(','))))
print(result['summary']['complete'], result['summary']['bundles'])
"""


def start(host, dest, include='config,writable,volumes,binds,logs'):
    # what tests/conftest.py does, for another process
    top = host / 'python' / 'ansible_collections' / 'lifeboat'
    if not top.exists():
        top.mkdir(parents=True)
        folder = os.path.abspath(run.__file__)
        for dummy in range(4):
            folder = os.path.dirname(folder)
        os.symlink(folder, str(top / 'docker'))
    environment = dict(os.environ, PYTHONPATH=str(host / 'python'), PYTHONDONTWRITEBYTECODE='1')
    return subprocess.Popen([sys.executable, '-c', RUNNER, str(host), str(dest), include], env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, universal_newlines=True)


@pytest.fixture(scope='module')
def host(tmp_path_factory):
    made = tmp_path_factory.mktemp('host')
    deadroot.build(str(made / 'var' / 'lib' / 'docker'), host_root=str(made), containers=6)
    return made


def kinds(dest):
    """{name of a bundle: kinds of its components}; each must be whole."""
    infos = [reading.inspect_bundle(path) for path in reading.find_bundles(os.fsencode(str(dest)))]
    assert {info.status for info in infos} == {reading.VERIFIED}
    return {os.path.basename(info.path): sorted(item['kind'] for item in info.manifest['components']) for info in infos}


@pytest.mark.newest
def test_two_rescues_at_once(host, tmp_path):
    """From nothing and over what is there; each bundle is whole and has what its manifest says."""
    alone = start(host, tmp_path / 'alone').communicate()[0]
    expected = kinds(tmp_path / 'alone')
    dest = tmp_path / 'dest'
    for dummy in range(2):
        both = [start(host, dest) for dummy in range(2)]
        said = [each.communicate(timeout=120) for each in both]
        assert [each.returncode for each in both] == [0, 0], said
        assert [out for out, dummy in said] == [alone, alone] and kinds(dest) == expected
        assert not [name for name in os.listdir(str(dest / 'box')) if name.startswith('.')]


def test_leftover_beside_a_bundle_that_needs_nothing(host, tmp_path):
    """A run is killed at work on a bundle, and the next one is asked for what is there already."""
    dest = tmp_path / 'dest'
    assert start(host, dest).wait() == 0
    name = sorted(kinds(dest))[0]
    left = dest / 'box' / ('.%s.partial' % os.fsdecode(name))
    (left / 'volumes').mkdir(parents=True, mode=0o700)
    left.chmod(0o700)
    (left / 'volumes' / 'half.tar').write_bytes(b'half')
    assert start(host, dest).wait() == 0
    assert not left.exists() and name in kinds(dest)


@pytest.mark.newest
def test_killed_at_any_moment(host, tmp_path):
    """No half bundle has its name, what is there stays in sight, and the next run is as if nothing had been."""
    begun = time.monotonic()
    assert start(host, tmp_path / 'measure').wait() == 0
    whole = time.monotonic() - begun
    dest = tmp_path / 'dest'
    include = ['config,writable,volumes,binds,logs', 'config,writable,volumes,logs']
    assert start(host, dest, include[1]).wait() == 0
    names = set(map(os.path.basename, reading.find_bundles(os.fsencode(str(dest)))))
    moments = range(8) if os.environ.get('LIFEBOAT_SOAK') else (1, 4, 6, 7)
    for number in moments:
        process = start(host, dest, include[number % 2])
        time.sleep(whole * (0.3 + 0.09 * number))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        seen = [reading.inspect_bundle(path) for path in reading.find_bundles(os.fsencode(str(dest)))]
        assert {info.status for info in seen} == {reading.VERIFIED}
        assert names <= {os.path.basename(info.path).partition(b'.until-')[0] for info in seen}
    last = start(host, dest, include[0])
    assert last.wait() == 0
    assert not [name for name in os.listdir(str(dest / 'box')) if name.startswith('.')]


# -- a kill at every call of finish --------------------------------------------------------------------------------------------------

CALLS = ('open', 'mkdir', 'rename', 'unlink', 'rmdir', 'fsync', 'write', 'close')


def killed_at(number, work):
    """Run WORK() in a child that is killed before its NUMBERth call to the kernel. True if it came to its end before."""
    child = os.fork()
    if not child:
        left = [number]

        def counted(real):
            def call(*arguments, **options):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **options)
            return call

        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        swap.exchange = counted(swap.exchange)
        try:
            work()
            os._exit(0)
        except BaseException:           # pylint: disable=broad-except
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, number
    return not os.WIFSIGNALED(status)


UNTIL = '.until-20260102T030405Z'
# every two of them together; all three with LIFEBOAT_SOAK
WAYS = [(False, '', True), (False, UNTIL, False), (True, '', False), (True, UNTIL, True)]


@pytest.mark.newest
@pytest.mark.parametrize('replaces, keep, exchange', WAYS + [
    pytest.param(replaces, keep, not exchange, marks=pytest.mark.soak) for replaces, keep, exchange in WAYS])
def test_a_kill_at_every_step_of_finish(replaces, keep, exchange, tmp_path, monkeypatch):
    if not exchange:
        monkeypatch.setattr(swap, 'exchange', lambda *dummy: False)
    box = os.fsencode(str(tmp_path / 'dest' / 'box'))
    number, over, rounds = 0, False, 0
    while not over:
        where = store.FolderStore(os.fsencode(str(tmp_path / 'dest')), b'box')
        where.prepare()
        if replaces:
            make(where, 'old')
        bundle = make(where, 'new', finish=False)
        over = killed_at(number, lambda bundle=bundle: bundle.finish(keep))
        seen = words(box)
        if replaces:                    # something whole is in sight at any time
            assert NAME in seen or 'old' in seen.values(), (number, seen)
        if keep and replaces:
            assert 'old' in seen.values() or b'.%s.partial' % NAME.encode() in os.listdir(box)
        where.close()
        # killed again while it recovers, at each of the same steps
        again = store.FolderStore(os.fsencode(str(tmp_path / 'dest')), b'box')
        killed_at(rounds % 12, again.lock)
        again.close()
        last = store.FolderStore(os.fsencode(str(tmp_path / 'dest')), b'box')
        last.lock()
        make(last, 'newest')
        seen = words(box)
        assert seen.pop(NAME) == 'newest'
        if keep and replaces:           # the better one was never lost
            assert 'old' in seen.values() or number < 12, (number, seen)
        assert not any(name.startswith(b'.') for name in os.listdir(box))
        assert not os.path.exists(os.path.join(box, NAME.encode(), swap.MARK))
        last.close()
        for name in os.listdir(box):
            subprocess.run(['rm', '-rf', os.path.join(box, name)], check=True)
        number += 1
        rounds += 1
        assert number < 200
    assert number > 5


def test_an_exchange_that_the_file_system_cannot_do(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(swap, 'exchange', lambda *dummy: False)
    make(folder, 'old')
    make(folder, 'new')
    box = os.fsencode(str(tmp_path / 'dest' / 'box'))
    assert words(box) == {NAME: 'new'} and len(os.listdir(box)) == 1
    real = os.rename

    def rename(source, target, **options):
        if source.endswith(b'.partial'):
            raise OSError(28, 'No space left on device')
        return real(source, target, **options)
    monkeypatch.setattr(os, 'rename', rename)
    with pytest.raises(LifeboatError, match='No space left'):
        make(folder, 'newest')
    assert words(box) == {NAME: 'new'}
    monkeypatch.setattr(os, 'rename', real)
    make(folder, 'last')
    assert words(box) == {NAME: 'last'}


def test_an_exchange_where_the_kernel_has_it(tmp_path):
    for name in ('one', 'other'):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text('x')
    fd = os.open(str(tmp_path), os.O_RDONLY)
    try:
        done = swap.exchange(fd, b'one', b'other')
        with pytest.raises(OSError):
            swap.exchange(fd, b'one', b'none')
    finally:
        os.close(fd)
    assert os.listdir(str(tmp_path / 'one')) == (['other'] if done else ['one'])


def test_a_mark_that_somebody_damaged(folder, tmp_path):
    make(folder, 'old')
    for raw in (b'', b'{', b'[]', b'{"parked": "../../etc", "keep": false}', b'{"parked": "%s.until-/x", "keep": 0}' % NAME.encode()):
        (tmp_path / 'dest' / 'box' / NAME / '.lifeboat-finish').write_bytes(raw)
        with pytest.raises(LifeboatError, match='lifeboat-finish is damaged'):
            make(folder, 'new')
    (tmp_path / 'dest' / 'box' / NAME / '.lifeboat-finish').unlink()
    make(folder, 'new')


def test_a_whole_rescue_says_a_planted_name_and_goes_on(host, tmp_path):
    with registry.open_host(os.fsencode(str(host)), [b'/var/lib/docker']) as dead:
        request = run.Request(os.fsencode(str(tmp_path / 'dest')), host_name='box', compression='none')
        first = run.rescue(dead, request._replace(check_mode=True))['bundles'][1]['name']
        (tmp_path / 'dest' / 'box').mkdir(parents=True, mode=0o700)
        (tmp_path / 'dest' / 'box').chmod(0o700)
        plant(tmp_path / 'dest' / 'box' / ('.%s.partial' % first), 'link', tmp_path)
        result = run.rescue(dead, request)
    lost, = (item for item in result['bundles'] if item['status'] == 'lost')
    assert lost['name'] == first and '.partial is a link' in lost['problems'][0]['message']
    assert (tmp_path / 'victim' / 'precious').read_text() == 'kept'


def test_a_store_without_a_folder_ends_nothing_in_the_working_folder(tmp_path, monkeypatch):
    partial = tmp_path / ('.%s.partial' % NAME)
    partial.mkdir()
    (partial / os.fsdecode(swap.MARK)).write_text(json.dumps({'parked': 'x.old', 'keep': False}))
    monkeypatch.chdir(tmp_path)
    store.FolderStore(os.fsencode(str(tmp_path / 'dest')), b'box').recover(NAME.encode())
    assert os.listdir('.') == [partial.name]

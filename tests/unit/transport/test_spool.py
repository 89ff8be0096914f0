"""The bounded spool and the frames in it: nothing is lost, nothing grows, nothing stays."""
import fcntl
import hashlib
import importlib
import os
import random
import threading
import time

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import sender
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import channel, frames, remote, spool

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path):
    path = str(tmp_path / 'lifeboat-x')
    os.mkdir(path)
    with open(os.path.join(path, spool.LOCK), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


def size(folder):
    """Bytes of the files in FOLDER, some of which come and go."""
    total = 0
    for name in os.listdir(folder):
        try:
            total += os.lstat(os.path.join(folder, name)).st_size
        except FileNotFoundError:
            continue
    return total


def test_a_stream_goes_through_and_the_spool_stays_small(folder):
    writer = spool.Writer(folder, 4 * MIB)
    data = [os.urandom(random.Random(number).randrange(1, 300000)) for number in range(80)]

    def write():
        writer.message({'op': 'begin'})
        for piece in data:
            writer.data(7, piece)
        writer.message({'op': 'end'})
        writer.flush()

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    parser, messages, content, good, most = frames.Parser(), [], [], 0, 0
    while len(messages) < 2:
        answer = spool.step(folder, {'free': good, 'wait': 5})
        assert answer['alive']
        most = max(most, size(folder))
        for number, length, digest in answer['chunks']:
            path = os.path.join(folder, '%08d-%s' % (number, digest))
            if number < good:
                continue
            with open(path, 'rb') as chunk:
                raw = chunk.read()
            assert number == good and len(raw) == length and hashlib.sha256(raw).hexdigest() == digest
            good += 1
            for which, value in parser.feed(raw):
                if which is None:
                    messages.append(value['op'])
                else:
                    assert which == 7
                    content.append(bytes(value))
    thread.join()
    assert b''.join(content) == b''.join(data) and messages == ['begin', 'end']
    assert 2 * MIB < most <= 4 * MIB
    spool.step(folder, {'free': good})
    assert writer.drained()
    assert not [name for name in os.listdir(folder) if channel.CHUNK.match(name)]


def test_a_step_may_come_twice(folder):
    writer = spool.Writer(folder, 4 * MIB)
    writer.message({'op': 'x'})
    writer.flush()
    first, second = (spool.step(folder, {'free': 0, 'wait': 1}) for dummy in range(2))
    assert first['chunks'] == second['chunks'] and len(first['chunks']) == 1
    assert spool.step(folder, {'free': 1})['chunks'] == [] == spool.step(folder, {'free': 1})['chunks']


def test_a_step_does_not_wait_for_what_will_not_come(folder):
    spool.note(folder, spool.OVER, True)
    began = time.monotonic()
    answer = spool.step(folder, {'free': 0, 'wait': 20})
    assert answer['over'] and answer['alive'] and time.monotonic() - began < 10


def test_answers_are_checked(folder):
    spool.make_files(folder, None, b'probe')
    raw = b'{"a": 1}'
    with open(os.path.join(folder, spool.INBOX), 'wb') as inbox:
        inbox.write(raw)
    assert spool.step(folder, {'reply': {'number': 1, 'sha256': '0' * 64}})['refused']
    assert spool.take_reply(folder, 1) is None
    right = {'reply': {'number': 1, 'sha256': hashlib.sha256(raw).hexdigest()}}
    spool.step(folder, right)
    spool.step(folder, right)           # a lost answer: once more
    assert spool.take_reply(folder, 1) == {'a': 1}
    assert not spool.step(folder, right).get('refused') and spool.take_reply(folder, 1) is None


def test_a_try_is_told_and_leaves_the_inbox_empty(folder):
    spool.make_files(folder, None, b'lifeboat-x')
    with open(os.path.join(folder, spool.PROBE), 'rb') as probe:
        assert probe.read() == b'lifeboat-x'
    inbox = os.path.join(folder, spool.INBOX)
    wanted = {'probe': hashlib.sha256(b'lifeboat-x').hexdigest()}
    assert not spool.step(folder, wanted)['probed']
    with open(inbox, 'wb') as target:
        target.write(b'lifeboat-x')
    assert spool.step(folder, wanted)['probed'] and os.path.getsize(inbox) == 0


def test_stop_raises_in_the_writer(folder):
    writer = spool.Writer(folder, 2 * MIB)
    writer.stop('nobody wants it')
    with pytest.raises(spool.Stopped):
        writer.data(1, b'x')


def test_a_dead_writer_is_seen_and_cleaned(tmp_path):
    path = tmp_path / 'lifeboat-dead'
    path.mkdir()
    (path / spool.LOCK).write_text('')
    (path / spool.SAID).write_text('Traceback\nMemoryError')
    answer = spool.step(str(path), {})
    assert not answer['alive'] and not answer['gone'] and 'MemoryError' in answer['said']
    spool.clean_stale([str(tmp_path)], 'key')
    assert not path.exists()
    assert spool.step(str(path), {})['gone']


def test_only_own_folders_are_cleaned(tmp_path, folder):
    """A link that is named like a spool, a spool at work for somebody else: both stay."""
    other = tmp_path / 'precious'
    other.mkdir()
    (other / 'file').write_text('x')
    (tmp_path / 'lifeboat-link').symlink_to(other)
    with open(os.path.join(folder, 'key'), 'w') as key:
        key.write('somebody else')
    spool.clean_stale([str(tmp_path)], 'key', 0.1)
    assert (other / 'file').exists() and os.path.isdir(folder)


def test_places(tmp_path):
    assert spool.place([str(tmp_path)], 2 * MIB) == (str(tmp_path), 2 * MIB)
    with pytest.raises(spool.SpoolError) as raised:
        spool.place([str(tmp_path / 'missing')], 2 * MIB)
    assert 'missing' in str(raised.value)
    free = os.statvfs(str(tmp_path))
    huge = free.f_bavail * free.f_frsize * 4
    assert spool.place([str(tmp_path)], huge)[1] < huge


def test_places_that_cannot_be_fetched_from(tmp_path):
    first, second = str(tmp_path / 'first'), str(tmp_path / 'second')
    os.mkdir(first)
    os.mkdir(second)
    assert spool.place([first, second], 2 * MIB)[0] == first
    assert spool.place([first, second], 2 * MIB, [first])[0] == second
    with pytest.raises(spool.SpoolError) as raised:
        spool.place([first], 2 * MIB, [first])      # what the user named is not replaced
    assert first in str(raised.value) and second not in str(raised.value)


@pytest.mark.parametrize('raw', [b'\x09\0\0\0\1x', b'\1\xff\xff\xff\xff', b'\1\0\0\0\2{}', b'\1\0\0\0\1x', b'\2\0\0\0\1x', b'\1\0\0\0\0'])
def test_hostile_frames(raw):
    with pytest.raises(frames.FrameError):
        list(frames.Parser().feed(raw))


def test_frames_cut_anywhere():
    raw = frames.message({'op': 'a'}) + frames.data_head(3, 5) + b'hello' + frames.data_head(4, 0) + frames.message({'op': 'b'})
    for step in (1, 2, 3, 7):
        parser, seen, data = frames.Parser(), [], b''
        for start in range(0, len(raw), step):
            for number, value in parser.feed(raw[start:start + step]):
                if number is None:
                    seen.append(value['op'])
                else:
                    data += bytes(value)
        assert (seen, data) == (['a', 'b'], b'hello')


@pytest.mark.parametrize('own, spool_dir', [(1234, None), (0, '/no/such/folder')])
def test_progress_alone_is_not_worth_a_failure(monkeypatch, own, spool_dir):
    """Where bundles stay on the node, a spool only carries progress: without one the rescue goes on unseen."""
    monkeypatch.setattr(os, 'geteuid', lambda: own)
    params = {'spool_size': 64 << 20}
    asked = {'uid': 0, 'key': 'k', 'places': [spool_dir] if spool_dir else list(spool.PLACES)}
    assert sender.start(params, dict(asked, folder=None), False) is None
    with pytest.raises(LifeboatError):
        sender.start(params, dict(asked, folder='/srv'), False)


@pytest.mark.parametrize('answer', [
    None, [], {}, {'bundles': []}, {'bundles': {}, 'blobs': []}, {'bundles': {'x': []}, 'blobs': {}}, {'bundles': {}, 'blobs': {'d': '1'}},
    {'bundles': {'x': {'manifest': []}}, 'blobs': {}}, {'bundles': {'x': {'parts': {'a': ['m', -1, 'd']}}}, 'blobs': {}},
    {'bundles': {'x': {'parts': {'a': 'mark'}}}, 'blobs': {}}])
def test_answers_of_a_controller_that_make_no_sense(answer):
    with pytest.raises(LifeboatError):
        remote.checked(answer)


def test_a_reply_that_is_no_json_ends_the_wait(tmp_path):
    (tmp_path / 'reply-1').write_text('[' * 100000)
    with pytest.raises(spool.SpoolError):
        spool.take_reply(str(tmp_path), 1)
    assert spool.take_reply(str(tmp_path), 1) is None


def test_a_file_that_the_controller_would_refuse_costs_its_bundle_only():
    """A volume on a hostile disk may have any name; the controller takes harmless ones."""
    sent = []

    class Wire(object):
        def message(self, value):
            sent.append(value['op'])

    store = remote.RemoteStore(Wire(), b'/srv', 0, [None, []], None)
    bundle = store.begin('x')
    with pytest.raises(LifeboatError) as raised:
        bundle.sink('volumes/a\n!id.tar')
    assert '\n' not in str(raised.value) and sent == ['begin']
    bundle.sink('volumes/a.tar')


@pytest.mark.parametrize('request_', [{'free': '1'}, {'wait': None}, {'reply': {'number': '../x', 'sha256': 'd'}}, {'failed': {'x': 1}}])
def test_requests_that_no_controller_makes(folder, request_):
    with pytest.raises(ValueError):
        spool.step(folder, request_)


@pytest.mark.parametrize('module', ['rescue.sender', 'transport.spool'])
def test_what_the_host_runs_in_the_background_is_there(module):
    """The files are named in the text of a command, which no import checks."""
    assert callable(importlib.import_module(sender.PACKAGE + module).main)
    place, dummy, name = module.rpartition('.')
    assert 'from %s import %s as it;' % (sender.PACKAGE + place, name) in sender.command(module)

"""A bundle that comes in pieces; the controller's side is played by a thread."""
import io
import os
import re
import shutil
import tarfile
import threading
import time

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, run
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import channel, inbox
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes

GOOD = tar_bytes([ROOT, member('./a', b'x' * 5000), member('./b', b'y')])
BAD = tar_bytes([ROOT, member('../evil', b'x'), member('./big', b'x' * 200000)])


class Controller(object):
    """Serves a bundle folder in pieces of SIZE bytes; CHANGE(name, data) may falsify a file."""

    def __init__(self, folder, bundle, size=4096, change=lambda name, data: data):
        self.folder, self.bundle, self.size, self.change = str(folder), os.fsdecode(bundle), size, change
        self.most = 0
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode='w') as tar:
            for name in ('SHA256SUMS', 'manifest.json'):
                tar.add(os.path.join(self.bundle, name), name)
        with open(os.path.join(self.folder, 'head.tar'), 'wb') as handle:
            handle.write(buffer.getvalue())
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        sent = {}
        while not os.path.exists(os.path.join(self.folder, 'done')):
            names = os.listdir(self.folder)
            self.most = max(self.most, sum(name.startswith('chunk-') for name in names))
            for name in names:
                match = re.match(r'want-(\d+)-([0-9a-f]+)\Z', name)
                if match and sum(other.startswith('chunk-%s-' % match.group(1)) for other in names) < channel.PIECES:
                    self.send(match.group(1), bytes.fromhex(match.group(2)).decode(), sent)
            time.sleep(0.001)

    def send(self, number, name, sent):
        with open(os.path.join(self.bundle, name), 'rb') as handle:
            data = self.change(name, handle.read())
        count = sent.get(number, 0)
        if count * self.size > len(data):
            return
        last = (count + 1) * self.size > len(data)
        part = os.path.join(self.folder, 'part')
        with open(part, 'wb') as handle:
            handle.write(data[count * self.size:(count + 1) * self.size])
        os.rename(part, os.path.join(self.folder, 'chunk-%s-%d%s' % (number, count, '-last' if last else '')))
        sent[number] = count + 1


@pytest.fixture
def deliver(tmp_path):
    def start(raw, **options):
        (tmp_path / 'in').mkdir()
        bundle = make_bundle(tmp_path / 'b', {'volumes/v.tar': raw}, {'volume': {'name': 'v'}})
        controller = Controller(tmp_path / 'in', bundle, **options)
        try:
            return controller, run.restore_remote(plan.Options(
                path=os.fsencode(str(tmp_path / 'in')), target='directory', dest=os.fsencode(str(tmp_path / 'out'))))
        finally:
            controller.thread.join(5)
            left = os.listdir(str(tmp_path / 'in'))
            assert not [name for name in left if name.startswith(('want', 'chunk'))] and 'done' in left
    return start


def test_it_comes_in_pieces_of_which_few_lie_there(deliver, tmp_path):
    controller, result = deliver(GOOD, size=600)
    assert result['changed'] and (tmp_path / 'out' / 'volumes' / 'v' / 'a').read_bytes() == b'x' * 5000
    assert 0 < controller.most <= channel.PIECES


@pytest.mark.parametrize('change', [
    lambda name, data: data[:600] + b'!' + data[601:] if name.endswith('.tar') else data,
    lambda name, data: data[:-1024] if name.endswith('.tar') else data])
def test_what_arrives_otherwise_is_refused_and_taken_back(deliver, tmp_path, change):
    with pytest.raises(LifeboatError):
        deliver(GOOD, change=change)
    assert not (tmp_path / 'out' / 'volumes').exists()


def test_hostile_archive_ends_the_delivery(deliver, tmp_path):
    with pytest.raises(LifeboatError) as caught:
        deliver(BAD)
    assert 'leave its folder' in str(caught.value) and not (tmp_path / 'evil').exists()


def test_silence_ends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(inbox, 'PATIENCE', 0.2)
    (tmp_path / 'in').mkdir()
    incoming = inbox.Inbox(os.fsencode(str(tmp_path / 'in')))
    stream = incoming.stream(b'x')
    assert os.read(stream.fd, 10) == b''
    with pytest.raises(LifeboatError) as caught:
        stream.finish()
    assert 'Nothing came' in str(caught.value)
    os.close(stream.fd)
    incoming.close()


def test_stop_ends_it_at_once(tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in' / 'stop').write_bytes(b'')
    incoming = inbox.Inbox(os.fsencode(str(tmp_path / 'in')))
    stream = incoming.stream(b'x')
    assert os.read(stream.fd, 10) == b''
    with pytest.raises(LifeboatError) as caught:
        stream.finish()
    assert 'gave up' in str(caught.value)
    os.close(stream.fd)
    incoming.close()


@pytest.mark.parametrize('how, patience, reason', [('gone', 60, 'gave up'), ('silent', 0.2, 'Nothing came')])
def test_nothing_is_left_when_the_controller_went_away(how, patience, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(inbox, 'PATIENCE', patience)
    folder = tmp_path / 'in'
    folder.mkdir()
    incoming = inbox.Inbox(os.fsencode(str(folder)))
    stream = incoming.stream(b'x')
    if how == 'gone':
        shutil.rmtree(str(folder))
    assert os.read(stream.fd, 10) == b''
    with pytest.raises(LifeboatError) as caught:
        stream.finish()
    assert reason in str(caught.value)
    os.close(stream.fd)
    incoming.close()
    assert not folder.exists() and not os.path.exists(os.fsdecode(incoming.head))


@pytest.mark.parametrize('name', ['chunk-1-0', 'chunk-1-0-last', 'head.tar', 'want-1-78', 'done'])
def test_links_and_pipes_in_the_folder(name, tmp_path):
    """The folder is the login user's, and the module may be root: nothing is read or written through what he puts there."""
    folder = tmp_path / 'in'
    folder.mkdir()
    secret = tmp_path / 'secret'
    secret.write_text('stays')
    (folder / name).symlink_to(secret)
    incoming = inbox.Inbox(os.fsencode(str(folder)))
    if name == 'head.tar':
        with pytest.raises(LifeboatError):
            incoming.info()
    elif name != 'done':
        with pytest.raises(LifeboatError):
            stream = incoming.stream(b'x')
            try:
                assert os.read(stream.fd, 10) == b''
            finally:
                os.close(stream.fd)
            stream.finish()
    incoming.close()
    assert secret.read_text() == 'stays'
    os.mkfifo(str(folder / 'pipe'))
    with pytest.raises(OSError):
        channel.opened(os.fsencode(str(folder)), b'pipe', 10)


def test_documents_that_make_no_sense(tmp_path):
    incoming = inbox.Inbox(os.fsencode(str(tmp_path)))
    for raw in (b'[' * 100000, b'nothing', b'[' + b'[],' * 2000000 + b'1]'):
        with open(os.path.join(incoming.head, b'images.json'), 'wb') as target:
            target.write(raw)
        with pytest.raises(LifeboatError):
            incoming.document(b'images.json')
    assert incoming.document(b'missing.json') is None
    incoming.close()


def test_names_are_read_as_they_are_made():
    assert channel.WANT.match(channel.want_name(7, b'volumes/a b\xff.tar.zst')).groups() == ('7', b'volumes/a b\xff.tar.zst'.hex())
    assert [channel.PIECE.match(channel.piece_name(7, 12, last)).group(1) for last in (False, True)] == ['7', '7']
    assert channel.CHUNK.match(channel.chunk_name(3, 'a' * 64)).groups() == ('00000003', 'a' * 64)
    for name in ('chunk-7-1-LAST', 'chunk-x-1', 'want-7-', 'want-7-6', '3-' + 'a' * 64, 'want-7-61\n'):
        assert not any(kind.match(name) for kind in (channel.WANT, channel.PIECE, channel.CHUNK))


def test_files_of_the_folder_are_never_links(tmp_path):
    folder = str(tmp_path)
    channel.make(folder, 'a', b'12345')
    assert channel.read(folder, 'a') == b'12345' and channel.read(folder, 'a', 2) == b'12'
    os.symlink('a', os.path.join(folder, 'b'))
    assert channel.read(folder, 'b') == b'' == channel.read(folder, 'gone')
    for name in ('a', 'b'):
        with pytest.raises(FileExistsError):
            channel.make(folder, name)
    os.close(channel.opened(folder, 'a', 5))
    with pytest.raises(OSError, match='larger'):
        channel.opened(folder, 'a', 4)
    channel.remove(folder, 'b')
    channel.remove(folder, 'b')
    assert sorted(os.listdir(folder)) == ['a']

"""The controller's end of a delivery, fed by a real rescue and by nodes that lie."""
import hashlib
import json
import os
import subprocess

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import sink
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import store
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.images import store as imagestore
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import frames, remote
from ansible_collections.lifeboat.docker.plugins.plugin_utils import delivery, delivery_files


class Cut(Exception):
    """As spool.Stopped: no OSError, which would be taken for one of the disk that is read."""


class Wire(object):
    """A spool.Writer that hands the stream to a receiver at once, until CUT bytes went through."""

    def __init__(self, receiver, cut=None):
        self.receiver = receiver
        self.left = cut
        self.bytes = 0

    def _put(self, raw):
        raw = bytes(raw)
        if self.left is not None:
            if self.left < len(raw):
                self.receiver.feed(raw[:self.left])
                self.bytes += self.left
                self.left = 0
                raise Cut()
            self.left -= len(raw)
        self.bytes += len(raw)
        self.receiver.feed(raw)

    def message(self, value):
        self._put(frames.message(value))

    def data(self, number, piece):
        self._put(frames.data_head(number, len(piece)))
        self._put(piece)

    def flush(self):
        pass


@pytest.fixture(scope='module')
def dead(tmp_path_factory):
    top = tmp_path_factory.mktemp('host')
    expected = deadroot.build(str(top / 'var' / 'lib' / 'docker'), containers=3, host_root=str(top))
    with open(os.path.join(expected.volumes[0].path.decode(), 'large.bin'), 'wb') as large:
        large.write(os.urandom(3 << 20))
    # an image cannot hold it, and would be partial
    os.unlink(os.path.join(expected.container('web').upper, b'srv/.wh.looks-like-one'))
    return os.fsencode(str(top))


def deliver(dead, dest, cut=None, **options):
    """(result or None after a cut, bytes that went over)"""
    folder = store.FolderStore(os.fsencode(str(dest)), b'box')
    folder.prepare()
    receiver = delivery.Receiver(folder)
    wire = Wire(receiver, cut)
    away = remote.RemoteStore(wire, folder.path, 1 << 40, [None, []], lambda number: json.loads(json.dumps(receiver.answer())))
    options.setdefault('include', ('config', 'writable', 'volumes', 'logs'))
    request = run.Request(os.fsencode(str(dest)), host_name='box', compression='none', inside=away.lies_inside, **options)
    try:
        with registry.open_host(dead, [b'/var/lib/docker']) as host:
            wire.message({'op': 'end', 'result': run.rescue(host, request, away)})
    except Cut:
        receiver.close()
        return None, wire.bytes
    receiver.close()
    return receiver.result(), wire.bytes


def contents(dest):
    found = {}
    for path, dummy, names in os.walk(str(dest)):
        if 'SHA256SUMS' in names:
            subprocess.run(['sha256sum', '-c', '--quiet', 'SHA256SUMS'], cwd=path, check=True)
        for name in names:
            if '.tar' in name or name.endswith(('.sha256', '.log')):
                with open(os.path.join(path, name), 'rb') as data:
                    found[os.path.relpath(os.path.join(path, name), str(dest))] = hashlib.sha256(data.read()).hexdigest()
    return found


@pytest.fixture(scope='module')
def reference(dead, tmp_path_factory):
    dest = tmp_path_factory.mktemp('reference')
    with registry.open_host(dead, [b'/var/lib/docker']) as host:
        run.rescue(host, run.Request(os.fsencode(str(dest)), host_name='box', compression='none',
                                     include=('config', 'writable', 'volumes', 'logs')))
    return contents(dest)


def test_the_same_bundles_as_without_delivery(dead, reference, tmp_path):
    result, sent = deliver(dead, tmp_path)
    assert result['changed'] and contents(tmp_path) == reference and sent > 3 << 20
    again, sent = deliver(dead, tmp_path)
    assert not again['changed'] and sent < 100000
    assert [item['sha256'] for one in again['bundles'] for item in one['components']] == \
        [item['sha256'] for one in result['bundles'] for item in one['components']]


def test_cut_anywhere_and_gone_on(dead, reference, tmp_path):
    """Cut every few hundred KiB: it always gets on, nothing has its final name before it is whole."""
    total, rounds, result = 0, 0, None
    while result is None:
        rounds += 1
        assert rounds < 60
        result, sent = deliver(dead, tmp_path, 400000)
        total += sent
        for name in os.listdir(str(tmp_path / 'box')):
            assert name.startswith('.') or (tmp_path / 'box' / name / 'SHA256SUMS').exists()
    assert rounds > 5 and contents(tmp_path) == reference
    # what arrived is not sent again, but for small files; without going on this would never end
    assert total < 2 * deliver(dead, tmp_path / 'whole')[1]


def test_a_beginning_that_does_not_fit_is_written_again(dead, reference, tmp_path):
    deliver(dead, tmp_path, 2 << 20)
    parts = [os.path.join(path, name) for path, dummy, names in os.walk(str(tmp_path)) for name in names
             if name.endswith(delivery_files.PART) and os.path.getsize(os.path.join(path, name)) > 100000]
    assert len(parts) == 1
    with open(parts[0], 'r+b') as part:
        part.seek(5000)
        part.write(b'damage')
    result, dummy = deliver(dead, tmp_path)
    assert {item['status'] for item in result['bundles']} == {'complete'} and contents(tmp_path) == reference


def test_a_full_disk_here_costs_one_bundle(dead, reference, tmp_path, monkeypatch):
    whole = delivery.Part.write

    def write(self, data):
        if b'volumes' in self._path and len(data) > 100000:
            raise sink.SinkError(self._path, OSError(28, 'No space left on device'))
        whole(self, data)

    monkeypatch.setattr(delivery.Part, 'write', write)
    result, dummy = deliver(dead, tmp_path)
    lost = [item['name'] for item in result['bundles'] if item['status'] == 'lost']
    assert lost and len(lost) < len(result['bundles'])
    assert result['summary']['lost'] == len(lost)
    assert [item['object'] for item in result['problems'] if item['code'] == 'NOT_WRITTEN'] == lost
    assert not any((tmp_path / 'box' / name).exists() for name in lost)
    monkeypatch.undo()
    result, dummy = deliver(dead, tmp_path)
    assert contents(tmp_path) == reference


def receiver(tmp_path):
    folder = store.FolderStore(os.fsencode(str(tmp_path)), b'box')
    folder.prepare()
    return delivery.Receiver(folder)


def say(end, *messages):
    for message in messages:
        end.feed(frames.message(message))


BEGIN = {'op': 'begin', 'bundle': 'x'}


@pytest.mark.parametrize('messages', [
    [{'op': 'begin', 'bundle': '../x'}], [{'op': 'begin', 'bundle': '.hidden'}], [{'op': 'begin', 'bundle': 'a/b'}], [{'op': 'begin'}],
    [{'op': 'open', 'bundle': 'x', 'number': 1, 'file': 'a', 'mark': None, 'skip': 0}],
    [BEGIN, {'op': 'open', 'bundle': 'x', 'number': 1, 'file': '../../etc/passwd', 'mark': None, 'skip': 0}],
    [BEGIN, {'op': 'open', 'bundle': 'x', 'number': 1, 'file': '/etc/passwd', 'mark': None, 'skip': 0}],
    [BEGIN, {'op': 'open', 'bundle': 'x', 'number': 1, 'file': 'a//b', 'mark': None, 'skip': 0}],
    [BEGIN, {'op': 'open', 'bundle': 'x', 'number': 1, 'file': 'a\0b', 'mark': None, 'skip': 0}],
    [BEGIN, {'op': 'open', 'bundle': 'x', 'number': 1, 'file': 'a', 'mark': 'm', 'skip': 5}],
    [BEGIN, {'op': 'take', 'bundle': 'x', 'whence': '../y', 'source': 'a', 'file': 'a', 'sha256': '0' * 64}],
    [BEGIN, {'op': 'take', 'bundle': 'x', 'whence': None, 'source': 'a', 'file': 'a', 'sha256': '../../x'}],
    [BEGIN, {'op': '_fail', 'bundle': 'x'}], [BEGIN, BEGIN],
    [{'op': 'ask', 'number': 1, 'names': ['../..']}], [{'op': 'end'}], [BEGIN, {'op': 'drop', 'bundle': 'x', 'names': ['../y']}],
    [{'op': 'commit', 'bundle': 'y', 'number': 3}],
])
def test_nodes_that_lie_are_told_so(tmp_path, messages):
    with pytest.raises(delivery.ProtocolError):
        say(receiver(tmp_path / 'out'), *messages)
    assert os.listdir(str(tmp_path)) == ['out'] and set(os.listdir(str(tmp_path / 'out'))) <= {'box'}


def test_where_bundles_stay_on_the_host_only_the_result_comes():
    end = delivery.Receiver(None)
    say(end, {'op': 'end', 'result': {'bundles': [], 'problems': [], 'summary': {}}})
    assert end.result()['changed'] is False
    for message in (BEGIN, {'op': 'ask', 'number': 1, 'names': ['x']}):
        with pytest.raises(delivery.ProtocolError):
            say(delivery.Receiver(None), message)


def test_what_earlier_starts_of_the_same_task_wrote_is_changed():
    end = delivery.Receiver(None)
    listing = [{'name': name, 'status': 'complete', 'changed': name == 'c', 'bytes': 1} for name in 'abc']
    say(end, {'op': 'end', 'result': {'bundles': listing, 'problems': [], 'summary': {}}})
    found = end.result({'a'})
    assert [item['changed'] for item in found['bundles']] == [True, False, True] and found['summary']['written'] == 2


def write(end, number, name, data, mark=None):
    say(end, {'op': 'open', 'bundle': 'x', 'number': number, 'file': name, 'mark': mark, 'skip': 0})
    end.feed(frames.data_head(number, len(data)) + data)
    say(end, {'op': 'commit', 'bundle': 'x', 'number': number})


@pytest.mark.parametrize('sums', ['%s  manifest.json\n%s  a.tar\n' % (hashlib.sha256(b'{}').hexdigest(), '0' * 64),
                                  '%s  manifest.json\n%s  never-sent\n' % (hashlib.sha256(b'{}').hexdigest(), '0' * 64), '', 'nonsense'])
def test_no_final_name_for_what_is_not_what_the_host_read(tmp_path, sums):
    end = receiver(tmp_path)
    say(end, BEGIN)
    write(end, 1, 'a.tar', b'data', 'mark')
    write(end, 2, 'manifest.json', b'{}')
    write(end, 3, 'SHA256SUMS', sums.encode())
    say(end, {'op': 'finish', 'bundle': 'x', 'aside': ''})
    assert 'x' in end.failed and not (tmp_path / 'box' / 'x').exists()


def test_a_component_that_arrived_differently_is_seen_at_once(tmp_path):
    end = receiver(tmp_path)
    say(end, BEGIN)
    write(end, 1, 'a.tar', b'data', 'mark')
    say(end, {'op': 'note', 'bundle': 'x', 'records': {'a': {'file': 'a.tar', 'sha256': '1' * 64}}})
    assert 'a.tar' in end.failed['x']


IMAGE = ('config', 'writable', 'image')


@pytest.fixture
def sharing(monkeypatch):
    """Images as small as those of the tests are worth sharing."""
    monkeypatch.setattr(imagestore, 'WORTH', 1)


def blobs(dest):
    """{relative path: inode} of every layer, config and manifest of images."""
    found = {}
    for path, dummy, names in os.walk(str(dest)):
        if 'blobs/sha256' in path:
            for name in names:
                full = os.path.join(path, name)
                with open(full, 'rb') as data:
                    assert hashlib.sha256(data.read()).hexdigest() == name
                found[os.path.relpath(full, str(dest))] = os.stat(full).st_ino
    return found


def test_layers_of_an_image_are_sent_once_and_linked(dead, tmp_path, sharing):
    here = tmp_path / 'here'
    with registry.open_host(dead, [b'/var/lib/docker']) as host:
        run.rescue(host, run.Request(os.fsencode(str(here)), host_name='box', compression='none', include=IMAGE))
    result, sent = deliver(dead, tmp_path / 'there', include=IMAGE)
    assert {item['status'] for item in result['bundles']} == {'complete'}
    contents(tmp_path / 'there')
    found = blobs(tmp_path / 'there')
    # the same folders as without a delivery, images/ and its index included
    assert set(found) == set(blobs(here))
    index = [(top / 'box' / 'images' / 'index.json').read_bytes() for top in (here, tmp_path / 'there')]
    assert index[0] == index[1]
    with open(os.path.join(str(here), 'box', result['bundles'][0]['name'], 'manifest.json')) as raw:
        layers = [item['digest'][7:] for component in json.load(raw)['components'] if component['name'] == 'image'
                  for item in component['layers']]
    assert layers
    for layer in layers:
        assert len({inode for name, inode in found.items() if name.endswith(layer)}) == 1
    # a bundle that is gone is made again without its layers going over the wire once more
    gone = result['bundles'][0]
    subprocess.run(['rm', '-rf', gone['path']], check=True)
    again, less = deliver(dead, tmp_path / 'there', include=IMAGE)
    size = sum(os.path.getsize(str(tmp_path / 'there' / 'box' / 'images' / 'blobs' / 'sha256' / layer)) for layer in layers)
    assert [item['name'] for item in again['bundles'] if item['changed']] == [gone['name']] and blobs(tmp_path / 'there').keys() == found.keys()
    assert less < sent - size
    contents(tmp_path / 'there')


def test_a_layer_here_that_is_damaged_is_sent_again(dead, tmp_path, sharing):
    deliver(dead, tmp_path, include=IMAGE)
    for name in blobs(tmp_path):
        if name.startswith('box/images/') and os.path.getsize(str(tmp_path / name)) > 1000:
            with open(str(tmp_path / name), 'r+b') as layer:    # and with it every bundle that has it
                layer.seek(700)
                layer.write(b'damage')
    result, dummy = deliver(dead, tmp_path, include=IMAGE)
    assert {(item['status'], item['changed']) for item in result['bundles']} == {('complete', True)}
    assert blobs(tmp_path)
    contents(tmp_path)


def test_images_cut_anywhere_and_gone_on(dead, tmp_path, sharing):
    rounds, result, whole = 0, None, deliver(dead, tmp_path / 'whole', include=IMAGE)[1]
    while result is None:
        rounds += 1
        assert rounds < 60
        result, dummy = deliver(dead, tmp_path / 'cut', whole * 7 // 10, include=IMAGE)
    assert rounds > 1 and blobs(tmp_path / 'cut').keys() == blobs(tmp_path / 'whole').keys()
    contents(tmp_path / 'cut')


def test_where_there_are_no_hard_links_layers_are_copied(dead, tmp_path, sharing, monkeypatch):
    def link(*dummy, **dummies):
        raise OSError(95, 'Operation not supported')

    monkeypatch.setattr(os, 'link', link)
    result, dummy = deliver(dead, tmp_path, include=IMAGE)
    assert {item['status'] for item in result['bundles']} == {'complete'}
    contents(tmp_path)
    assert len(set(blobs(tmp_path).values())) == len(blobs(tmp_path))


LAYER = hashlib.sha256(b'data').hexdigest()


@pytest.mark.parametrize('message', [
    {'op': 'share', 'file': 'image/blobs/sha256/../../../x', 'sha256': LAYER},
    {'op': 'share', 'file': 'a.tar', 'sha256': LAYER}, {'op': 'share', 'file': 'image/blobs/sha256/' + LAYER, 'sha256': '../x'},
    {'op': 'take', 'whence': 'images', 'source': 'x', 'file': 'a.tar', 'sha256': LAYER},
    {'op': 'index', 'documents': ['/etc/passwd'], 'descriptors': []}, {'op': 'index', 'documents': [], 'descriptors': [{'digest': 1}]},
    {'op': 'index', 'documents': [], 'descriptors': [{'digest': 'sha256:' + LAYER, 'size': 4, 'mediaType': 'x'}]}])
def test_layers_of_nodes_that_lie(tmp_path, message):
    end = receiver(tmp_path)
    say(end, BEGIN)
    with pytest.raises(delivery.ProtocolError):
        say(end, dict(message, bundle='x'))


def test_a_layer_is_shared_only_if_it_is_what_its_name_says(tmp_path):
    end = receiver(tmp_path)
    say(end, BEGIN)
    write(end, 1, 'image/blobs/sha256/' + LAYER, b'other', 'mark')
    say(end, {'op': 'share', 'bundle': 'x', 'file': 'image/blobs/sha256/' + LAYER, 'sha256': LAYER})
    assert 'not what the host read' in end.failed['x'] and not (tmp_path / 'box' / 'images').exists()


# -- the original files ------------------------------------------------------------------------------------------------------------------


def test_the_original_files_of_a_host_arrive_verified(dead, tmp_path):
    """The bundle `deployment`, with names that begin with a dot, as a rescue to the host itself writes it; a second run sends nothing."""
    for name, content in (('compose.yaml', 'services: {wiki: {image: b}}\n'), ('.env', 'A=1\n'), ('a b.yml', 'x')):
        deadroot.put(os.path.join(dead, b'opt/stacks/wiki', os.fsencode(name)), content)
    try:
        result, dummy = deliver(dead, tmp_path / 'there', include=('config',), deployment=True)
        entry, = [item for item in result['bundles'] if item['kind'] == 'deployment']
        assert (entry['status'], entry['changed'], entry['path']) == ('complete', True, str(tmp_path / 'there/box/deployment'))
        assert result['deployment']['files'] == 2 and result['deployment']['differences'] == []
        with registry.open_host(dead, [b'/var/lib/docker']) as host:
            run.rescue(host, run.Request(os.fsencode(str(tmp_path / 'here')), host_name='box', compression='none', include=('config',), deployment=True))
        files = {}
        for place in ('here', 'there'):
            top = str(tmp_path / place / 'box/deployment')
            subprocess.run(['sha256sum', '-c', '--quiet', '--strict', 'SHA256SUMS'], cwd=top, check=True)
            files[place] = {os.path.relpath(os.path.join(path, name), top) for path, dummy, names in os.walk(top) for name in names}
        assert files['here'] == files['there'] > {'deployment.json', 'files/opt/stacks/wiki/.env', 'files/opt/stacks/wiki/compose.yaml'}
        again, dummy = deliver(dead, tmp_path / 'there', include=('config',), deployment=True)
        assert not again['changed']
    finally:
        subprocess.run(['rm', '-rf', os.path.join(dead, b'opt')], check=True)


@pytest.mark.parametrize('value', [
    {'differences': 'x'}, {'differences': [3]}, {'differences': [{'file': 3}]}, {'files': -1}, {'files': 'x'}, {'undecided': [3]}, [],
    {'differences': [{}] * 2000}])
def test_what_a_node_says_of_deployments_has_its_form(tmp_path, value):
    end = receiver(tmp_path)
    with pytest.raises(delivery.ProtocolError):
        say(end, {'op': 'end', 'result': {'bundles': [], 'problems': [], 'summary': {}, 'deployment': value}})


def test_texts_of_a_difference_are_shown_and_other_keys_dropped(tmp_path):
    end = receiver(tmp_path)
    say(end, {'op': 'end', 'result': {'bundles': [], 'problems': [], 'summary': {}, 'deployment': {
        'files': 1, 'ansible_facts': {}, 'differences': [{'file': '\x1b[31m', 'evil': 1}], 'undecided': ['\u202e']}}})
    assert end.result()['deployment'] == {'files': 1, 'differences': [{'file': '\\x1b[31m'}], 'undecided': ['\\u202e']}

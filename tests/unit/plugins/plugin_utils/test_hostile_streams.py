"""Streams of nodes that were taken over, against the controller's receiver: each ends in one sentence, nothing outside dest
changes, nothing gets a final name that is not what its checksums say, and an honest run afterwards gets through.

Each value of each message is replaced by values of wrong types and ranges, and a genuine stream is damaged at random: 80 seeds,
or as many as LIFEBOAT_SOAK says.
"""
import copy
import hashlib
import json
import os
import random
import shutil
import subprocess
import tracemalloc

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import store
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.images import store as imagestore
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import frames, remote
from ansible_collections.lifeboat.docker.plugins.plugin_utils import delivery, delivery_door as door

SEEDS = int(os.environ.get('LIFEBOAT_SOAK') or 80)
INCLUDE = ('config', 'writable', 'image', 'volumes', 'logs')
BAD = [None, True, -1, 1 << 70, 1.5, '', 'a\n!touch pwned', '../x', '/etc/passwd', '.hidden', 'a\0b', 'x' * 5000, '\ud800', '%s%n{0}',
       '-oProxyCommand=x', [], {}, [[]], {'a': 1}, [None], ['../x']]


class Recorder(object):
    """A spool.Writer that keeps the stream as [(number or None, message or bytes)], while a receiver takes it."""

    def __init__(self, receiver):
        self.receiver = receiver
        self.frames = []

    def message(self, value):
        self.frames.append((None, json.loads(json.dumps(value))))
        self.receiver.feed(frames.message(value))

    def data(self, number, piece):
        self.frames.append((number, bytes(piece)))
        self.receiver.feed(frames.data_head(number, len(piece)) + bytes(piece))

    def flush(self):
        pass


def receiver(top, **options):
    return delivery.Receiver(store.FolderStore(os.fsencode(str(top)), b'box'), **options)


def honest(dead, top):
    """An honest run into TOP -> (result, the stream)."""
    end = receiver(top)
    wire = Recorder(end)
    away = remote.RemoteStore(wire, os.fsencode(str(top / 'box')), 1 << 40, [None, []], lambda number: json.loads(json.dumps(end.answer())))
    request = run.Request(os.fsencode(str(top)), host_name='box', compression='none', include=INCLUDE, inside=away.lies_inside)
    with registry.open_host(dead, [b'/var/lib/docker']) as host:
        wire.message({'op': 'end', 'result': run.rescue(host, request, away)})
    end.close()
    return end.result(), wire.frames


@pytest.fixture(scope='module')
def dead(tmp_path_factory):
    top = tmp_path_factory.mktemp('host')
    deadroot.build(str(top / 'var' / 'lib' / 'docker'), containers=2, host_root=str(top), rich=False)
    return os.fsencode(str(top))


@pytest.fixture(scope='module')
def good(dead, tmp_path_factory):
    """A genuine stream with images that are shared, so every kind of message is in it."""
    worth, imagestore.WORTH = imagestore.WORTH, 1
    try:
        result, stream = honest(dead, tmp_path_factory.mktemp('good'))
    finally:
        imagestore.WORTH = worth
    assert {item['status'] for item in result['bundles']} == {'complete'}
    said = {value['op'] for number, value in stream if number is None}
    assert {'ask', 'begin', 'open', 'commit', 'share', 'index', 'take', 'note', 'drop', 'finish', 'end'} <= said
    return stream


def raw_of(stream):
    return b''.join(frames.message(value) if number is None else frames.data_head(number, len(value)) + value
                    for number, value in stream)


def snapshot(folder):
    return sorted((path, sorted(names), sorted(folders)) for path, folders, names in os.walk(str(folder)))


def attack(tmp_path, raw, step=65536):
    """Feed RAW into a receiver -> the sentence it ended with, or the result. Fails where anything else happens."""
    outside = tmp_path / 'outside'
    outside.mkdir(exist_ok=True)
    before = snapshot(outside)
    end = receiver(tmp_path / 'out')
    said = None
    try:
        for start in range(0, len(raw), step):
            end.feed(raw[start:start + step])
            if end.asked:
                json.dumps(end.answer())
        said = end.result() if end.ended is not None else 'the end is missing'
    except (delivery.ProtocolError, LifeboatError) as exc:
        said = str(exc)
        assert said and '\n' not in said and '\x1b' not in said and len(said) < 1000
    finally:
        end.close()
    assert snapshot(outside) == before
    assert set(os.listdir(str(tmp_path))) <= {'out', 'outside'} and not os.path.exists('pwned')
    check_bundles(tmp_path / 'out', said, end)
    return said


def check_bundles(dest, said, end):
    """What has a final name is whole; what the result calls complete is there."""
    box = dest / 'box'
    assert not dest.exists() or set(os.listdir(str(dest))) <= {'box'}
    names = [name for name in os.listdir(str(box)) if not name.startswith('.')] if box.exists() else []
    for name in names:
        if name != 'images' and (box / name).is_dir():
            subprocess.run(['sha256sum', '-c', '--quiet', 'SHA256SUMS'], cwd=str(box / name), check=True)
    if isinstance(said, dict):
        assert set(said) <= {'bundles', 'problems', 'summary', 'changed', 'failed', 'msg', 'compose', 'deployment'}
        for item in said.get('bundles', ()):
            assert item['status'] == 'lost' or (box / item['name'] / 'manifest.json').is_file(), item
            assert item['path'] == str(box / item['name'])


def fields(stream):
    """(index, key) of every value of the first message of each kind."""
    seen = set()
    for index, (number, value) in enumerate(stream):
        if number is None and value['op'] not in seen:
            seen.add(value['op'])
            for key in value:
                yield index, key


def test_every_value_of_every_message(good, tmp_path):
    """The genuine stream up to a message, that message with one value replaced, and the rest."""
    tried = 0
    for order, (index, key) in enumerate(fields(good)):
        # in turn, so that each value is tried somewhere; all of them with LIFEBOAT_SOAK
        for bad in BAD if os.environ.get('LIFEBOAT_SOAK') else (BAD * 2)[order * 4 % len(BAD):][:4]:
            changed = good[:index] + [(None, dict(good[index][1], **{key: bad}))] + good[index + 1:]
            top = tmp_path / str(tried)
            top.mkdir()
            attack(top, raw_of(changed), 1 << 22)
            shutil.rmtree(str(top))
            tried += 1
    assert tried >= 100


def mutate(stream, chance):
    """The stream with one to three faults, as bytes."""
    stream = copy.deepcopy(stream)
    for dummy in range(chance.randint(1, 3)):
        where = chance.randrange(len(stream))
        what = chance.randrange(9)
        number, value = stream[where]
        if what == 0:
            del stream[where]
        elif what == 1:
            stream.insert(where, copy.deepcopy(stream[chance.randrange(len(stream))]))
        elif what == 2:
            other = chance.randrange(len(stream))
            stream[where], stream[other] = stream[other], stream[where]
        elif what == 3:
            del stream[where:]
        elif what == 4 and number is not None:
            stream[where] = (chance.choice([number + 1, 0, (1 << 32) - 1]), value)
        elif what == 5 and number is not None and value:
            place = chance.randrange(len(value))
            stream[where] = (number, value[:place] + bytes([value[place] ^ 1]) + value[place + 1:])
        elif what == 6:
            stream[where:where] = [stream[where]] * 200
        elif number is None:
            spoil(value, chance)
        if not stream:
            break
    raw = raw_of(stream)
    if raw and chance.random() < 0.2:
        place = chance.randrange(len(raw))
        raw = raw[:place] + bytes([chance.randrange(256)]) + raw[place + 1:]
    return raw


def spoil(value, chance):
    """Replace one value somewhere in a JSON object."""
    while True:
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if isinstance(value[key], (dict, list)) and value[key] and chance.random() < 0.8:
            value = value[key]
            continue
        value[key] = chance.choice(BAD)
        return


@pytest.mark.parametrize('seed', range(SEEDS))
def test_damaged_streams(good, dead, tmp_path, seed):
    raw = mutate(good, random.Random(seed))
    attack(tmp_path, raw)
    if seed % 10 == 0:                  # what is left over stops nobody
        result, dummy = honest(dead, tmp_path / 'out')
        assert {item['status'] for item in result['bundles']} == {'complete'}


def frame(raw):
    return b'\x01' + len(raw).to_bytes(4, 'big') + raw


BEGIN = frames.message({'op': 'begin', 'bundle': 'x'})
FLOODS = {
    'lists': frame(b'{"op":"begin","bundle":"x","a":[' + b'[],' * 5000000 + b'[]]}'),
    'objects': frame(b'{"op":"begin","a":[' + b'{},' * 5000000 + b'{}]}'),
    'levels': frame(b'{"op":"begin","a":' + b'[' * 900000 + b']' * 900000 + b'}'),
    'levels of objects': frame(b'{"a":' * 300000 + b'1' + b'}' * 300000),
    'digits': frame(b'{"op":"ask","names":[],"number":' + b'9' * 1000000 + b'}'),
    'escapes without an end': frame(b'{"op":"x' + b'\\"' * 2000000 + b'[' * 100),
    'infinity': frame(b'{"op":"ask","names":[],"number":Infinity}'), 'not a number': frame(b'{"op":"ask","names":[],"number":NaN}'),
    'huge exponent': frame(b'{"op":"ask","names":[],"number":1e999}'),
    'half a pair': frame(b'{"op":"begin","bundle":"\\ud800"}'), 'not UTF-8': frame(b'{"op":"\xff"}'),
    'no object': frame(b'[1]'), 'no op': frame(b'{}'), 'an op of no text': frame(b'{"op":["begin"]}'),
    'a name of ours': frame(b'{"op":"_fail","bundle":"x"}'), 'too long': b'\x01\xff\xff\xff\xff', 'unknown kind': b'\x07\0\0\0\1x',
    'data before an open': frames.data_head(5, 3) + b'abc', 'after the end': frames.message({'op': 'end', 'result': {}}) * 2,
    'begun twice': BEGIN * 2, 'questions': frames.message({'op': 'ask', 'number': 1, 'names': []}) * 2,
    'many names': frames.message({'op': 'ask', 'number': 1, 'names': ['x'] * 100001}),
    'many files': BEGIN + b''.join(frames.message({'op': 'open', 'bundle': 'x', 'number': number, 'file': 'f%d' % number, 'mark': None,
                                                   'skip': 0}) for number in range(200)),
    'one file twice': BEGIN + b''.join(frames.message({'op': 'open', 'bundle': 'x', 'number': number, 'file': 'f', 'mark': 'm', 'skip': 0})
                                       for number in range(2)),
    'many problems': frames.message({'op': 'end', 'result': {'problems': [{'code': 'X'}] * 3000}}),
}


@pytest.mark.parametrize('name', sorted(FLOODS))
def test_floods_and_wrong_order(name, tmp_path):
    """Refused, with little more memory than the bytes themselves take."""
    tracemalloc.start()
    try:
        with pytest.raises(delivery.ProtocolError):
            receiver(tmp_path / 'out').feed(FLOODS[name])
        assert tracemalloc.get_traced_memory()[1] < 3 * len(FLOODS[name]) + (20 << 20)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('name', [
    '.lifeboat-part', '.x.lifeboat-part', 'a.lifeboat-mark', 'progress.json', 'manifest.json.partial', 'a/.b', 'volumes/.x.tar.lifeboat-mark',
    'a/b/c/d/e/f/g', 'a\nb', 'a b', 'a;b', '$(id)', '-rf', 'a/-rf', 'a\x1b[2Jb', 'a\x9bb', '', 'a/', '/a', 'a//b', 'a/../b', 'é'])
def test_names_that_are_ours_or_harmful(name, tmp_path):
    with pytest.raises(delivery.ProtocolError):
        door.file_name(name)
    end = receiver(tmp_path / 'out')
    end.feed(BEGIN)
    with pytest.raises(delivery.ProtocolError):
        end.feed(frames.message({'op': 'open', 'bundle': 'x', 'number': 1, 'file': name, 'mark': None, 'skip': 0}))


@pytest.mark.parametrize('name', ['images', 'compose.yaml', 'compose-shop.yaml', 'x.until-20260101T000000Z', '.x', 'a/b', '', 'a\n!id', '-x'])
def test_names_of_bundles(name):
    with pytest.raises(delivery.ProtocolError):
        door.bundle_name(name)


def test_a_leftover_that_makes_no_sense_stops_no_later_run(dead, tmp_path):
    result, dummy = honest(dead, tmp_path / 'first')
    name = result['bundles'][0]['name']
    left = tmp_path / 'out' / 'box' / ('.%s.partial' % name)
    left.mkdir(parents=True, mode=0o700)
    os.chmod(str(tmp_path / 'out'), 0o700)
    os.chmod(str(tmp_path / 'out' / 'box'), 0o700)
    for file in ('progress.json', '.writable.tar.lifeboat-mark'):
        (left / file).write_text('[' * 100000)
        os.chmod(str(left / file), 0o600)
    result, dummy = honest(dead, tmp_path / 'out')
    assert {item['status'] for item in result['bundles']} == {'complete'}


# -- what a node's words decide ----------------------------------------------------------------------------------------------


def say(end, *messages):
    for message in messages:
        end.feed(frames.message(message))


def bundle(end, files, status='complete', components=None, name='x'):
    """A whole bundle as a node sends it. FILES: {name: bytes}."""
    say(end, {'op': 'begin', 'bundle': name})
    manifest = {'schema_version': 1, 'kind': 'volume', 'status': status, 'volume': {'name': 'v'},
                'components': [{'name': 'volume:v', 'kind': 'volume', 'file': file, 'sha256': hashlib.sha256(data).hexdigest(),
                                'bytes': len(data), 'source_bytes': len(data), 'status': status} for file, data in files.items()]
                if components is None else components}
    files = dict(files, **{'manifest.json': json.dumps(manifest).encode()})
    files['SHA256SUMS'] = b''.join(b'%s  %s\n' % (hashlib.sha256(data).hexdigest().encode(), file.encode())
                                   for file, data in files.items())
    for number, (file, data) in enumerate(files.items()):
        say(end, {'op': 'open', 'bundle': name, 'number': number, 'file': file, 'mark': None, 'skip': 0})
        end.feed(frames.data_head(number, len(data)) + data)
        say(end, {'op': 'commit', 'bundle': name, 'number': number})
    say(end, {'op': 'finish', 'bundle': name, 'aside': ''})


def end_with(end, **item):
    say(end, {'op': 'end', 'result': {'bundles': [dict({'name': 'x', 'status': 'complete', 'changed': True, 'bytes': 1 << 40}, **item)],
                                      'problems': [], 'summary': {'bundles': 7}}})
    end.close()
    return end.result()


def good_one(tmp_path):
    end = receiver(tmp_path)
    bundle(end, {'volumes/v.tar': b'precious'})
    found = end_with(end)['bundles'][0]
    assert (found['status'], found['changed'], found['bytes'], found['files']) == ('complete', True, 8, 3)


@pytest.mark.parametrize('files, status, components', [
    ({}, 'lost', None), ({}, 'complete', None), ({'volumes/v.tar': b'x'}, 'partial', None), ({'other.tar': b'x'}, 'complete', []),
    ({'v.tar': b'x'}, 'complete', [{'name': 'other', 'kind': 'volume', 'file': 'v.tar', 'source_bytes': 1, 'status': 'complete'}])])
def test_nothing_replaces_a_good_bundle_by_less(tmp_path, files, status, components):
    """Whatever the node says about the older one."""
    good_one(tmp_path)
    end = receiver(tmp_path)
    bundle(end, files, status, components)
    result = end_with(end)
    kept = [path for path in (tmp_path / 'box').iterdir() if '.until-' in path.name]
    assert len(kept) == 1 and (kept[0] / 'volumes' / 'v.tar').read_bytes() == b'precious'
    assert [item['object'] for item in result['problems'] if item['code'] == 'OLD_BUNDLE_KEPT'] == ['x']


def test_one_as_good_replaces_it(tmp_path):
    good_one(tmp_path)
    end = receiver(tmp_path)
    bundle(end, {'volumes/v.tar': b'newer'})
    assert end_with(end)['bundles'][0]['bytes'] == 5 and os.listdir(str(tmp_path / 'box')) == ['x']


@pytest.mark.parametrize('item', [{}, {'changed': False}, {'status': 'partial'}])
def test_what_never_arrived_is_lost(tmp_path, item):
    result = end_with(receiver(tmp_path), **item)
    assert [found['status'] for found in result['bundles']] == ['lost'] and result['summary']['lost'] == 1
    assert result['summary']['bytes'] == 0 and not result['changed'] and result['problems'][0]['code'] == 'NOT_WRITTEN'


def test_an_unchanged_bundle_is_one_that_was_verified_here(tmp_path):
    good_one(tmp_path)
    for spoil_it, status in ((False, 'complete'), (True, 'lost')):
        if spoil_it:
            (tmp_path / 'box' / 'x' / 'volumes' / 'v.tar').write_bytes(b'Precious')
        end = receiver(tmp_path)
        say(end, {'op': 'ask', 'number': 1, 'names': ['x']})
        end.answer()
        found = end_with(end, changed=False)['bundles'][0]
        assert (found['status'], found['changed']) == (status, False)


def test_a_bundle_that_the_node_keeps_quiet_about_is_told(tmp_path):
    end = receiver(tmp_path)
    bundle(end, {'volumes/v.tar': b'data'})
    say(end, {'op': 'end', 'result': {'bundles': []}})
    assert [(item['name'], item['bytes']) for item in end.result()['bundles']] == [('x', 4)]


@pytest.mark.parametrize('components, status', [
    ([], 'partial'),                                                                            # complete of nothing
    ([{'name': 'a', 'kind': 'volume', 'file': 'missing.tar', 'status': 'complete'}], None),     # refused: not in SHA256SUMS
    ([{'name': 'a', 'kind': 'volume', 'file': '', 'status': 'complete'}], 'partial'),
    ([{'name': 'a', 'kind': 'volume', 'file': 'v.tar', 'status': 'complete', 'source_bytes': 4,
       'bytes': 1 << 50}], None),     # the size is another
    ([{'name': 'a', 'kind': 'volume', 'file': 'v.tar', 'status': 'lost', 'source_bytes': 4}], 'partial')])
def test_complete_is_computed_here(tmp_path, components, status):
    end = receiver(tmp_path)
    bundle(end, {'v.tar': b'data'}, 'complete', components)
    found = end_with(end)['bundles'][0]
    assert found['status'] == (status or 'lost') and (tmp_path / 'box' / 'x').exists() == bool(status)


def test_nothing_but_a_result_gets_into_a_play(tmp_path):
    end = receiver(tmp_path)
    bundle(end, {'volumes/v.tar': b'data'})
    say(end, {'op': 'end', 'result': {
        'ansible_facts': {'ansible_python_interpreter': '/tmp/x'}, 'add_host': {'host_name': 'x'}, 'invocation': {}, '_ansible_x': 1,
        'bundles': [{'name': 'x', 'status': 'complete', 'path': '/etc', 'changed': True, 'ansible_facts': {}, 'image': 'a\x1b]52;c;x\x07\nb'}],
        'problems': [{'code': 'READ_ERROR', 'severity': 'warning', 'object': 'x', 'message': 'a\x1b[2J\x9bb', 'next_step': ''}]}})
    result = end.result()
    assert set(result) == {'bundles', 'problems', 'summary', 'changed', 'deployment'} and result['deployment'] is None
    assert result['bundles'][0]['path'] == str(tmp_path / 'box' / 'x') and 'ansible_facts' not in result['bundles'][0]
    assert json.dumps(result, ensure_ascii=False).isprintable()


def test_in_check_mode_nothing_is_written(tmp_path):
    for message in ({'op': 'begin', 'bundle': 'x'}, {'op': 'discard', 'bundle': 'x'}):
        with pytest.raises(delivery.ProtocolError):
            say(receiver(tmp_path / 'out', check=True), message)
    end = receiver(tmp_path / 'out', check=True)
    say(end, {'op': 'ask', 'number': 1, 'names': ['x']})
    assert end.answer() == {'bundles': {}, 'blobs': {}}
    assert end_with(end)['bundles'][0]['status'] == 'complete' and not (tmp_path / 'out').exists()


def test_after_its_end_a_bundle_is_not_touched(tmp_path):
    end = receiver(tmp_path)
    bundle(end, {'volumes/v.tar': b'data'})
    with pytest.raises(delivery.ProtocolError):
        say(end, {'op': 'open', 'bundle': 'x', 'number': 90, 'file': 'manifest.json', 'mark': None, 'skip': 0})


# -- what others planted in dest -----------------------------------------------------------------------------------------------


def plant(top, where, kind):
    """Make dest/box with something foreign at WHERE."""
    precious = top / 'precious'
    precious.mkdir()
    (precious / 'file').write_text('stays')
    os.makedirs(str(top / 'out' / 'box'), 0o700)
    os.chmod(str(top / 'out'), 0o700)
    place = top / 'out' / where
    if place.exists():
        place.rmdir()
    for folder in reversed(place.relative_to(top / 'out').parents[:-1]):
        os.makedirs(str(top / 'out' / folder), 0o700, exist_ok=True)
    if kind == 'link':
        place.symlink_to(precious)
    elif kind == 'file':
        place.write_text('x')
    else:
        place.mkdir(0o700)
        if kind == 'owner':
            os.chown(str(place), 12345, 12345)
        else:
            os.chmod(str(place), 0o777)
    return precious


PLANTED = ['box', 'box/.x.partial', 'box/x', 'box/.x.partial/volumes']


@pytest.mark.parametrize('kind', ['link', 'file', 'mode', 'owner'])
@pytest.mark.parametrize('where', PLANTED)
def test_what_is_planted_is_refused_by_name(tmp_path, where, kind):
    if kind == 'owner' and os.geteuid() != 0:
        pytest.skip('only root can give a folder away')
    precious = plant(tmp_path, where, kind)
    end = receiver(tmp_path / 'out')
    bundle(end, {'volumes/v.tar': b'secret'})
    result = end_with(end)
    assert result['bundles'][0]['status'] == 'lost' and result['summary']['lost'] == 1
    assert os.path.basename(where) in end.failed['x'], end.failed
    assert os.listdir(str(precious)) == ['file'] and (precious / 'file').read_text() == 'stays'
    assert not [name for path, dummy, names in os.walk(str(tmp_path / 'out')) for name in names if name == 'v.tar']


@pytest.mark.parametrize('where', ['box/images', 'box/images/blobs', 'box/images/blobs/sha256'])
def test_planted_layers(tmp_path, where):
    precious = plant(tmp_path, where, 'link')
    end = receiver(tmp_path / 'out')
    layer = hashlib.sha256(b'layer').hexdigest()
    say(end, {'op': 'begin', 'bundle': 'x'},
        {'op': 'open', 'bundle': 'x', 'number': 1, 'file': 'image/blobs/sha256/' + layer, 'mark': 'm', 'skip': 0})
    end.feed(frames.data_head(1, 5) + b'layer')
    say(end, {'op': 'commit', 'bundle': 'x', 'number': 1},
        {'op': 'share', 'bundle': 'x', 'file': 'image/blobs/sha256/' + layer, 'sha256': layer})
    assert os.path.basename(where) in end.failed['x'] and os.listdir(str(precious)) == ['file']


@pytest.mark.parametrize('name', ['.v.tar.lifeboat-part', '.v.tar.lifeboat-mark', 'v.tar', 'SHA256SUMS', 'manifest.json', 'progress.json'])
def test_a_file_of_a_bundle_at_work_that_is_a_link(tmp_path, name):
    """Of the run before, when the folder was still somebody else's. It is replaced, or the bundle is refused."""
    precious = plant(tmp_path, 'box/.x.partial/' + name, 'link')
    (tmp_path / 'out' / 'box' / '.x.partial' / name).unlink()
    (tmp_path / 'out' / 'box' / '.x.partial' / name).symlink_to(precious / 'file')
    end = receiver(tmp_path / 'out')
    say(end, {'op': 'begin', 'bundle': 'x'}, {'op': 'open', 'bundle': 'x', 'number': 77, 'file': 'v.tar', 'mark': 'm', 'skip': 0})
    end.feed(frames.data_head(77, 5) + b'data!')
    say(end, {'op': 'commit', 'bundle': 'x', 'number': 77}, {'op': 'note', 'bundle': 'x', 'records': {}})
    end.close()
    assert (precious / 'file').read_text() == 'stays'

import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model
from ansible_collections.lifeboat.docker.plugins.module_utils.usage import state, trees


def put(root, path, content=b'x' * 10):
    where = os.path.join(str(root), path)
    os.makedirs(os.path.dirname(where), exist_ok=True)
    with open(where, 'wb') as stream:
        stream.write(content)


def stack_of(upper, lower, encoding):
    return model.Stack(model.Layer(os.fsencode(str(upper)), encoding), None, (model.Layer(os.fsencode(str(lower)), encoding),))


@pytest.fixture
def place(tmp_path):
    put(tmp_path, 'volume/app.mv.db', b'H:2,block:2'.ljust(4096))
    put(tmp_path, 'upper/new')
    put(tmp_path, 'lower/old')
    return tmp_path


def test_each_tree_is_walked_once(place, monkeypatch):
    volume = os.fsencode(str(place / 'volume'))
    everything = trees.Trees(workers=1)
    walked = []
    real = trees.usage.scan_folder
    monkeypatch.setattr(trees.usage, 'scan_folder', lambda path, *more, **options: (walked.append(path), real(path, *more, **options))[1])
    for dummy in range(3):
        everything.folder(volume)
        everything.walk()
    assert walked == [volume]
    found = everything.of_folder(volume)
    assert (found.usage['bytes'], found.error, found.unreadable) == (4096, None, [])
    assert [(one['engine'], one['path']) for one in found.databases] == [('h2', '/app.mv.db')]


@pytest.mark.parametrize('encoding', [model.OVERLAY, model.AUFS, model.PLAIN])
@pytest.mark.parametrize('workers', [1, 2])
def test_layers(place, encoding, workers):
    if encoding == model.PLAIN:
        put(place, 'upper/old')
        st = os.stat(str(place / 'lower/old'))
        os.utime(str(place / 'upper/old'), ns=(st.st_mtime_ns, st.st_mtime_ns))
    everything = trees.Trees(workers=workers)
    everything.layer('c1', stack_of(place / 'upper', place / 'lower', encoding))
    everything.folder(os.fsencode(str(place / 'volume')))
    everything.walk()
    assert everything.of_layer('c1').usage['files'] == 1            # a full copy counts what differs


def test_a_tree_that_cannot_be_opened_is_an_error_and_no_zero(place):
    everything = trees.Trees()
    everything.folder(os.fsencode(str(place / 'none')))
    everything.folder(os.fsencode(str(place / 'volume')))
    everything.walk()
    found = everything.of_folder(os.fsencode(str(place / 'none')))
    assert found.usage is None and found.databases == [] and found.error
    assert everything.of_folder(os.fsencode(str(place / 'volume'))).usage['files'] == 1


def test_mistakes_of_the_program_are_not_hidden(place, monkeypatch):
    monkeypatch.setattr(trees.usage, 'scan_folder', lambda *dummy, **more: 1 // 0)
    everything = trees.Trees(workers=1)
    everything.folder(b'/x')
    with pytest.raises(ZeroDivisionError):
        everything.walk()


def test_state_noise_and_limits(place):
    path = os.fsencode(str(place / 'state.json'))
    volume = os.fsencode(str(place / 'volume'))
    lines = [{'where': 'suffix', 'pattern': '.db', 'reason': 'made anew'}]
    results = []
    for dummy in range(2):
        everything = trees.Trees(noise_lines=lines, state_path=path, data_roots=[b'/var/lib/docker'])
        everything.folder(volume)
        everything.layer('c1', stack_of(place / 'upper', place / 'lower', model.OVERLAY))
        everything.layer('c2', stack_of(place / 'upper', place / 'lower', model.PLAIN))
        everything.walk()
        everything.save()
        results.append((everything.of_folder(volume).usage, everything.of_folder(volume).databases, everything.of_layer('c1').usage,
                        everything.of_layer('c2').usage))
        reused = everything._state.reused
    assert results[0] == results[1] and reused == 2
    assert results[0][0]['data_bytes'] == 0 and results[0][1]
    assert not trees.Trees(look=False).note
    with pytest.raises(LifeboatError):
        trees.Trees(state_path=volume + b'/s', data_roots=[volume])
    with pytest.raises(ValueError):
        trees.Trees(noise_lines=[{}])
    cut = trees.Trees(scan_max_files=1)
    put(place, 'volume/another')
    cut.folder(volume)
    cut.walk()
    assert cut.of_folder(volume).usage['complete'] is False and cut.of_folder(volume).usage['cut'] == 'scan_max_files'
    assert state.FULL_EVERY > 1

import collections

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import likely

Driver = collections.namedtuple('Driver', 'FOLDER')
Graph = collections.namedtuple('Graph', 'driver')


@pytest.mark.parametrize('created, score', [
    ('1970-01-01T00:16:45Z', 3), ('1971-01-01T00:00:00Z', 0), ('2026-11-2$T15:43:05.319779573Z', 0), ('', 0), (None, 0)])
def test_when_the_init_layer_was_made(monkeypatch, created, score):
    monkeypatch.setattr(likely, '_time', lambda graph, path: 1000)
    found, said = likely.evidence(Graph(Driver(b'overlay2')), b'layer', created, (), [], None)
    assert found == score and bool(said) == bool(score)

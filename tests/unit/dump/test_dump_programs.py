"""Whose programs read a database: those of the container's own image, or, where its layers are lost, of another image of the host."""
import os

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import find, programs, run, target, view
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.kinds import postgresql, redis, sqlite
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.room import Refused
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model
from ansible_collections.lifeboat.docker.plugins.module_utils.records.definition import Definition


class Root:
    def __init__(self, *images):
        self._images = images

    def images(self):
        return iter(self._images)


class Host:
    def __init__(self, *images):
        self.roots = (Root(*images),)


def image(name, created, status=model.COMPLETE, encoding=model.OVERLAY, path=b'/l/%s', env=()):
    layers = tuple(model.ImageLayer(None, None, None, path % each if b'%' in path else path, 1, model.COMPLETE, encoding) for each in (b'low', b'top'))
    return model.Image('sha256:' + name, (name,), created, 'amd64', 'linux', status, layers, {'config': {'Env': list(env)}}, None, 'graphdriver', b'/', None)


def database(path, top=None, mounts=(), lost=True, encoding=model.OVERLAY):
    image_layer = model.Layer(None if lost else b'/own', encoding, model.LOST if lost else model.COMPLETE)
    stack = model.Stack(model.Layer(os.fsencode(str(top)), encoding), None, (image_layer,)) if top is not None else None
    definition = Definition()._replace(env=('PATH=/own', 'POSTGRES_USER=owner'))
    container = model.Container('a' * 64, 'db', None, None, 'shop/db:1', {}, {}, b'/', None, 'graphdriver', None, model.PARTIAL, (), stack, tuple(mounts), None,
                                definition, {}, {})
    return find.Database(None, container, 'postgresql', '15', path, 1000, None)


VOLUME = model.Mount('volume', 'data', '/v', b'/vol', '/data', True, 'local', False, model.COMPLETE)


def names(found):
    return [offer.image for offer in found]


def test_its_own_image_is_used_where_it_is_whole():
    found = programs.of(Host(image('db:2', '2')), database('/data', '/top', [VOLUME], lost=False), postgresql.KIND)
    assert names(found) == [''] and [layer.path for layer in found[0].layers] == [b'/top', b'/own'] and found[0].environment['PATH'] == '/own'


def test_lost_layers_do_not_matter_where_the_top_is_a_whole_copy():
    assert names(programs.of(Host(), database('/data', '/top', encoding=model.PLAIN), postgresql.KIND)) == ['']


def test_images_that_are_whole_the_same_name_first_then_the_newest():
    host = Host(image('old:1', '1'), image('broken:1', '9', model.PARTIAL), image('new:1', '3'), image('shop/db:0', '0'),
                image('other:1', '4', encoding='another'))
    found = programs.of(host, database('/data/pg', '/top', [VOLUME]), postgresql.KIND)
    assert names(found) == ['shop/db:0', 'new:1', 'old:1'] and [layer.path for layer in found[0].layers] == [b'/l/top', b'/l/low']


def test_the_environment_of_programs_is_that_of_their_image():
    found = programs.of(Host(image('db:2', '2', env=('PATH=/its', 'POSTGRES_USER=nobody', 'broken'))), database('/data', '/top', [VOLUME]), postgresql.KIND)
    assert found[0].environment == {'PATH': '/its', 'POSTGRES_USER': 'owner'}


def test_data_in_the_writable_layer_are_shown_alone_and_never_called_whole(tmp_path):
    """The other image may have a database of its own at the same place."""
    (tmp_path / 'srv' / 'pg').mkdir(parents=True)
    found = programs.of(Host(image('db:2', '2')), database('/srv/pg', tmp_path), postgresql.KIND)
    assert found[0].places == (view.Place(b'/srv/pg', os.fsencode(str(tmp_path / 'srv' / 'pg'))),) and found[0].lacking == (programs.IN_LOST_LAYERS,)
    assert programs.of(Host(image('db:2', '2')), database('/data', '/top', [VOLUME]), postgresql.KIND)[0].lacking == ()


def test_a_link_on_the_way_to_the_data_is_not_followed(tmp_path):
    (tmp_path / 'secret' / 'pg').mkdir(parents=True)
    (tmp_path / 'top').mkdir()
    (tmp_path / 'top' / 'srv').symlink_to(tmp_path / 'secret')
    assert programs.of(Host(image('db:2', '2')), database('/srv/pg', tmp_path / 'top'), postgresql.KIND) == []


def test_nothing_can_be_done_without_the_folder_or_without_images(tmp_path):
    assert programs.of(Host(image('db:2', '2')), database('/srv/pg'), postgresql.KIND) == []
    assert programs.of(Host(), database('/data', '/top', [VOLUME]), postgresql.KIND) == []
    assert programs.of(Host(image('db:2', '2')), database('/dump.rdb', tmp_path), redis.KIND) == []


def test_a_kind_whose_versions_are_not_compared_takes_no_other_image():
    assert programs.of(Host(image('db:2', '2')), database('/data', '/top', [VOLUME]), postgresql.KIND._replace(other_image=False)) == []


def test_a_kind_that_needs_no_program_of_an_image_takes_none(tmp_path):
    (tmp_path / 'srv').mkdir()
    found = programs.of(Host(image('db:2', '2')), database('/srv/app.db', tmp_path), sqlite.KIND)
    assert [offer.layers for offer in found] == [()] and found[0].places[0].destination == b'/srv' and found[0].image == ''


@pytest.mark.parametrize('other, known, said, parts, fits', [
    (True, '10.11.18', b'mariadbd  Ver 10.11.4-MariaDB-1', 2, True), (True, '10.11.18', b'mariadbd  Ver 10.6.4-MariaDB-1', 2, False),
    (True, '', b'mariadbd  Ver 10.11.4-MariaDB-1', 2, False), (True, '7.0.15', b'Redis server v=7.2.1 sha=0', 1, True),
    (True, '6.2.1', b'Redis server v=7.2.1 sha=0', 1, False), (True, '8.0.36', b'nothing', 2, False), (False, '', b'anything', 2, True)])
def test_only_another_image_has_to_be_of_the_version_of_the_data(other, known, said, parts, fits):
    asked = target.Target('mariadb', b'/d', known, {}, 0, True, other)
    if fits:
        target.refuse_other_version(asked, said, parts)
        return
    with pytest.raises(Refused) as refused:
        target.refuse_other_version(asked, said, parts)
    assert refused.value.code == 'DUMP_VERSION_MISMATCH'


def ended(code):
    return run.box.Ended({'code': code, 'error': 'why'} if code else {'version': '15', 'counts': {}, 'marks': ['fine']}, b'', 1.0)


@pytest.mark.parametrize('codes, expected', [
    (['DUMP_NO_BINARY', 'DUMP_VERSION_MISMATCH', None], (None, 'c')), (['DUMP_FOREIGN_ARCH', 'DUMP_SERVER_FAILED'], ('DUMP_SERVER_FAILED', 'b'))])
def test_images_are_tried_until_one_has_the_server(codes, expected, monkeypatch, tmp_path):
    offers = [programs.Programs((model.Layer(b'/l', model.OVERLAY),), {}, image=name, lacking=('some rows',)) for name in 'abc']
    left = list(codes)
    monkeypatch.setattr(run, '_attempt', lambda *dummy: ended(left.pop(0)))
    monkeypatch.setattr(run, '_keep', lambda entry, request, writer, how: entry.update(marks=list(how.result['marks']), status=model.COMPLETE))
    entry = {'seconds': 0, 'marks': [], 'missing': [], 'status': 'failed'}
    place = run._Place(None, type('Files', (), {'path': staticmethod(lambda name: b'')}), 'x')
    code, how = run._each_image(run.Request(b''), None, postgresql.KIND, offers, None, place._replace(codec=run.compress.pick('none')), entry)
    assert (code, entry['marks'][-1]) == (expected[0], 'other_image: ' + expected[1]) and how.seconds == 1.0
    assert (entry['status'], entry['missing']) == (('partial', ['some rows']) if code is None else ('failed', []))


def test_where_no_image_has_it_one_sentence_says_so(monkeypatch):
    offers = [programs.Programs((model.Layer(b'/l', model.OVERLAY),), {}, image=name) for name in 'ab']
    monkeypatch.setattr(run, '_attempt', lambda *dummy: ended('DUMP_NO_BINARY'))
    place = run._Place(run.compress.pick('none'), type('Files', (), {'path': staticmethod(lambda name: b'')}), 'x')
    with pytest.raises(Refused, match=r'no other image of the host has the same server for its data \(2 were tried\)') as refused:
        run._each_image(run.Request(b''), database('/data'), postgresql.KIND, offers, None, place, {'seconds': 0, 'marks': []})
    assert refused.value.code == 'DUMP_LAYERS_LOST'

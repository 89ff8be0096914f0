import hashlib
import io
import json
import tarfile

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.archive.tarread import ArchiveError
from ansible_collections.lifeboat.docker.plugins.module_utils.images import loadfile as imagefile
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import member, tar_bytes


def sha(data):
    return hashlib.sha256(data).hexdigest()


def blob(data):
    return 'blobs/sha256/' + sha(data)


class Archive(object):
    """An OCI layout with docker's manifest.json, of images with these layers."""

    def __init__(self, *images):
        self.files, manifest, index = {}, [], []
        for tag, layers, env in images:
            layers = [layer.encode() for layer in layers]
            config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {'Env': [env]}, 'rootfs': {
                'type': 'layers', 'diff_ids': ['sha256:' + sha(layer) for layer in layers]}}).encode()
            oci = json.dumps({'config': {'digest': 'sha256:' + sha(config)}, 'layers': []}).encode()
            for data in layers + [config, oci]:
                self.files[blob(data)] = data
            manifest.append({'Config': blob(config), 'RepoTags': [tag] if tag else None, 'Layers': list(map(blob, layers))})
            index.append({'digest': 'sha256:' + sha(oci)})
        self.files['manifest.json'] = json.dumps(manifest).encode()
        self.files['index.json'] = json.dumps({'schemaVersion': 2, 'manifests': index}).encode()

    def read(self):
        return imagefile.read(io.BytesIO(self.raw()), 'i.tar')

    def raw(self):
        return tar_bytes([member(name, data) for name, data in sorted(self.files.items())])

    def change(self, name, change):
        value = json.loads(self.files[name].decode())
        change(value)
        self.files[name] = json.dumps(value).encode()


@pytest.fixture
def two():
    return Archive(('debian:12', ['base'], 'A=1'), ('lifeboat/web:0123', ['base', 'own'], 'A=2'))


def test_both_images_are_found(two):
    base, own = two.read()
    assert (base.references, own.references) == (('debian:12',), ('lifeboat/web:0123',))
    assert own.diff_ids == ('sha256:' + sha(b'base'), 'sha256:' + sha(b'own'))
    assert own.config['config'] == {'Env': ['A=2']} and len(own.ids) == 2 and own.ids[0] == own.config_digest
    assert not set(own.ids) & set(base.ids)


def test_the_containers_image_is_picked(two):
    base, own = two.read()
    assert imagefile.pick((base, own), base.config_digest) is base
    assert imagefile.pick((base, own), '') is own


def test_only_one_image_goes_out(two):
    dummy, own = two.read()
    raw = b''.join(imagefile.only([two.raw()], own))
    alone = imagefile.read(io.BytesIO(raw), 'i.tar')
    assert alone == (own,)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert tar.extractfile(blob(b'base')).read() == b'base'


def test_it_survives_the_way_through_json(two):
    images = two.read()
    assert imagefile.from_document(json.loads(json.dumps(imagefile.to_document(images)))) == images


def test_old_form_of_docker_save():
    archive = Archive(('a:1', ['base'], 'A=1'))
    del archive.files['index.json']
    config = [name for name in archive.files if b'rootfs' in archive.files[name]][0]
    archive.files[config[13:] + '.json'] = archive.files.pop(config)
    archive.change('manifest.json', lambda value: value[0].update(Config=config[13:] + '.json'))
    assert archive.read()[0].references == ('a:1',)


def contradict(archive):
    """manifest.json shows one image, index.json leads to another."""
    other = Archive(('x:1', ['evil'], 'E=1'))
    archive.files.update((name, data) for name, data in other.files.items() if name.startswith('blobs'))
    archive.files['index.json'] = other.files['index.json']


def hidden(archive):
    """One more image in index.json only."""
    other = Archive(('x:1', ['evil'], 'E=1'))
    archive.files.update((name, data) for name, data in other.files.items() if name.startswith('blobs'))
    archive.change('index.json', lambda value: value['manifests'].extend(
        json.loads(other.files['index.json'].decode())['manifests']))


def other_config(archive):
    name = [name for name in archive.files if b'rootfs' in archive.files[name]][0]
    archive.files[name] = archive.files[name].replace(b'A=1', b'A=9')


def other_manifest(archive):
    name = [name for name in archive.files if b'"layers": []' in archive.files[name]][0]
    archive.files[name] = archive.files[name] + b' '


@pytest.mark.parametrize('damage, reason', [
    (lambda archive: archive.files.pop('manifest.json'), 'lacks'),
    (lambda archive: archive.files.update({'manifest.json': b'{'}), 'not JSON'),
    (lambda archive: archive.files.update({'manifest.json': b'[]'}), '0 images'),
    (lambda archive: archive.files.pop(blob(b'base')), 'lacks the layer'),
    (lambda archive: archive.change('manifest.json', lambda value: value[0].update(Layers=[])), 'does not fit'),
    (lambda archive: archive.change('manifest.json', lambda value: value[0].update(Config='../x')), 'lacks'),
    (contradict, 'another one in index.json'), (hidden, 'not in manifest.json'), (other_config, 'whose digest is not its name'),
    (other_manifest, 'does not have its digest'),
])
def test_archives_that_contradict_themselves_are_refused(damage, reason):
    archive = Archive(('a:1', ['base'], 'A=1'))
    damage(archive)
    with pytest.raises(ArchiveError) as caught:
        archive.read()
    assert reason in str(caught.value)


def test_an_empty_piece_is_not_the_end():
    stream = imagefile.Stream(iter([b'', b'one', b'', b'', b'two', b'']))
    assert [stream.read(), stream.read(), stream.read(), stream.read()] == [b'one', b'two', b'', b'']

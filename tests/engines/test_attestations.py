"""An image as BuildKit makes it with provenance: an index with the manifest and one with its attestation."""
import hashlib
import io
import json
import os
import tarfile
import types

import pytest
import rescued
import test_restore
from rig import scenario

KIND = 'newer-containerd'
NAME = 'odd/attested:1'
# what `docker image inspect` says of the index with the attestation, which is not in image.tar, and of when it was named
OF_THE_INDEX = ('Id', 'RepoTags', 'RepoDigests', 'Descriptor', 'Metadata', 'Size', 'manifest')


def with_attestation(saved):
    """What `docker save` gave (bytes), with an attestation as buildx writes it beside the manifest, in an index named NAME."""
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        blobs = {item.name: archive.extractfile(item).read() for item in archive if item.isfile()}

    def put(value, kind, **more):
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        digest = hashlib.sha256(content).hexdigest()
        blobs['blobs/sha256/' + digest] = content
        return dict({'mediaType': kind, 'digest': 'sha256:' + digest, 'size': len(content)}, **more)

    index = 'application/vnd.oci.image.index.v1+json'
    first = json.loads(blobs['index.json'])['manifests'][0]
    while first['mediaType'] == index:
        first = json.loads(blobs['blobs/sha256/' + first['digest'][7:]])['manifests'][0]
    predicate = 'https://slsa.dev/provenance/v0.2'
    statement = put({'_type': 'https://in-toto.io/Statement/v0.1', 'predicateType': predicate, 'subject': [], 'predicate': {}},
                    'application/vnd.in-toto+json', annotations={'in-toto.io/predicate-type': predicate})
    config = put({'architecture': 'unknown', 'os': 'unknown', 'config': {}, 'rootfs': {'type': 'layers', 'diff_ids': [statement['digest']]}},
                 'application/vnd.oci.image.config.v1+json')
    attestation = put({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json', 'config': config, 'layers': [statement]},
                      'application/vnd.oci.image.manifest.v1+json', platform={'architecture': 'unknown', 'os': 'unknown'}, annotations={
                          'vnd.docker.reference.digest': first['digest'], 'vnd.docker.reference.type': 'attestation-manifest'})
    manifest = {key: first[key] for key in ('mediaType', 'digest', 'size')}
    both = put({'schemaVersion': 2, 'mediaType': index, 'manifests': [
        attestation, dict(manifest, platform={'architecture': 'amd64', 'os': 'linux'})]}, index, annotations={
            'io.containerd.image.name': 'docker.io/' + NAME, 'org.opencontainers.image.ref.name': NAME.partition(':')[2]})
    blobs['index.json'] = json.dumps({'schemaVersion': 2, 'mediaType': index, 'manifests': [both]}).encode()
    blobs.pop('manifest.json', None)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode='w') as archive:
        for name, content in sorted(blobs.items()):
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, io.BytesIO(content))
    return made.getvalue()


@pytest.mark.soak             # with LIFEBOAT_SOAK
def test_an_image_with_provenance_comes_back(start_engine, tmp_path):
    from rig.engine import Engine
    with Engine(KIND) as engine:
        engine.start()
        scenario.build_images(engine)
        engine.docker('load', stdin=with_attestation(engine.docker('save', scenario.SHOP)))
        engine.docker('create', '--name', 'attested', '--network', 'none', NAME)
        truth = json.loads(engine.docker('image', 'inspect', NAME))[0]
        truth['manifest'] = json.loads(engine.docker('image', 'inspect', scenario.SHOP))[0]['Id']
        engine.kill()
        result = rescued.rescue(types.SimpleNamespace(host_root=engine.host_root), tmp_path, containers=('attested',), include=('config', 'image', 'writable'),
                                host_name='dead')
    bundle = result['bundles'][0]
    assert bundle['status'] == 'complete' and not [item for item in result['problems'] if item['code'] == 'IMAGE_OTHER_PLATFORM'], result['problems']
    engine = start_engine(KIND)
    with open(os.path.join(bundle['path'], 'image.tar'), 'rb') as archive:
        engine.docker('load', stdin=archive.read())
    found = json.loads(engine.docker('image', 'inspect', NAME))[0]
    differs = {key: (value, found.get(key)) for key, value in truth.items() if key not in OF_THE_INDEX and found.get(key) != value}
    assert not differs, differs
    # the manifest of this platform is as it was, and is what now carries the name
    assert found['Id'] == truth['manifest'] and truth['Id'] != found['Id']
    assert engine.docker('run', '--rm', '--network', 'none', NAME, 'cat /opt/app/version') == b'v2\n'
    for changed in (True, False):
        again = test_restore.restore(engine, bundle['path'], restore=('image', 'container'), ignore=('devices',))
        assert again['changed'] is changed, again['steps']

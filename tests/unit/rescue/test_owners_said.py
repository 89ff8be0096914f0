"""Owners that were mapped by an assumption are told in the facts, in the manifest and in README.txt, and only then."""
import json
import os

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather
from ansible_collections.lifeboat.docker.plugins.module_utils.layers import idmap
from ansible_collections.lifeboat.docker.plugins.module_utils.records import owners
from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import run

CODE = 'OWNERS_ASSUMED'


def test_the_sentence_says_what_was_assumed():
    assert owners.assumed(None, 'web') == () == owners.assumed(idmap.from_rootless(1000, 1000, b'alice', b'alice:1:9\n', b'alice:1:9\n'), 'web')
    remapped, = owners.assumed(idmap.from_root_name(b'231072.231072'), 'web')
    alone, = owners.assumed(idmap.from_rootless(1000, 1000, b'alice'), 'web')
    assert (remapped.code, remapped.object, remapped.severity, remapped.loses_data) == (CODE, 'web', 'info', False)
    assert '65536' in remapped.message and '65536' not in alone.message and 'keep the number' in alone.message


@pytest.fixture(scope='module')
def remapped(tmp_path_factory):
    """A host whose containers have a user namespace that its /etc/subuid does not know."""
    if os.geteuid():
        pytest.skip('needs root to make files of others')
    top = tmp_path_factory.mktemp('remapped')
    deadroot.build(str(top / 'var' / 'lib' / 'docker'), containers=2, layers=2, files=2, host_root=str(top), orphan_layers=1, userns=(231072, 231072))
    return top


def said(facts):
    """Codes of each container, volume and orphan."""
    items = facts['containers'] + facts['volumes'] + facts['orphans']['writable_layers']
    return [[problem['code'] for problem in item['problems']] for item in items]


def rescued(top, dest, **options):
    """{name of a bundle: (its manifest, its README.txt)}."""
    with registry.open_host(os.fsencode(str(top))) as host:
        run.rescue(host, run.Request(os.fsencode(str(dest)), host_name='box', compression='none', include=('config', 'writable'), volumes=('*',),
                                     orphans=True, **options))
    bundles = [path for path in (dest / 'box').iterdir() if (path / 'manifest.json').exists()]
    return {path.name: (json.loads((path / 'manifest.json').read_text()), (path / 'README.txt').read_text()) for path in bundles}


def test_it_is_told_of_everything_that_was_mapped(remapped, tmp_path):
    with registry.open_host(os.fsencode(str(remapped))) as host:
        codes = said(gather.gather(host, gather.Options()))
    assert len(codes) > 3 and all(CODE in each for each in codes)
    bundles = rescued(remapped, tmp_path / 'out')
    assert {manifest['kind'] for manifest, dummy in bundles.values()} == {'container', 'volume', 'orphan'}
    for manifest, readme in bundles.values():
        assert CODE in [item['code'] for item in manifest['problems']] and 'is not in /etc/subuid' in ' '.join(readme.split())
    for manifest, readme in rescued(remapped, tmp_path / 'as-it-is', owner_ids='disk').values():
        assert CODE not in [item['code'] for item in manifest['problems']] and CODE not in readme


def test_it_is_not_told_where_the_ranges_are_known(remapped, tmp_path):
    etc = remapped / 'etc'
    etc.mkdir(exist_ok=True)
    for name in ('subuid', 'subgid'):
        (etc / name).write_text('dockremap:231072:65536\n')
    try:
        with registry.open_host(os.fsencode(str(remapped))) as host:
            assert not any(CODE in each for each in said(gather.gather(host, gather.Options())))
        assert all(CODE not in readme for dummy, readme in rescued(remapped, tmp_path / 'out').values())
    finally:
        for name in ('subuid', 'subgid'):
            (etc / name).unlink()

"""The component `paths` of a dead engine: what docker cp gave of the same paths while it ran."""
import os

import rescued
from rig import listing, truth


def below(found, path):
    """Members of PATH and below, named as `docker cp NAME:PATH -` names them."""
    head = os.path.dirname(path.strip('/'))
    skip = len(head) + 1 if head else 0
    last = path.strip('/')
    names = {name: os.fsdecode(name) for name in found}
    return {text[skip:]: found[name] for name, text in names.items() if text == last or text.startswith(last + '/')}


def test_paths_equal_docker_cp(dead_root, disk_dir):
    before = dead_root.snapshot()
    wanted = tuple('%s:%s' % item for item in truth.COPIED)
    result = rescued.rescue(dead_root, disk_dir, paths=wanted, compression='none')
    assert {item['container'] for item in result['bundles']} == {name for name, dummy in truth.COPIED}
    assert {item['status'] for item in result['bundles']} == {'complete'}
    compared = 0
    for name, path in truth.COPIED:
        bundle, = [item for item in result['bundles'] if item['container'] == name]
        part, = bundle['components']
        ours, dummy = rescued.unlink_hard(rescued.members(os.path.join(bundle['path'], part['file'])))
        theirs, dummy = rescued.unlink_hard(rescued.members(dead_root.file(dead_root.truth['containers'][name]['cp'][path])))
        theirs = {os.fsdecode(key): item for key, item in theirs.items()}
        assert below(ours, path) == theirs
        compared += len(theirs)
    assert compared > 100
    assert rescued.rescue(dead_root, disk_dir, paths=wanted, compression='none')['changed'] is False
    assert listing.differences(before, dead_root.snapshot()) == []

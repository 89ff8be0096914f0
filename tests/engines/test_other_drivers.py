"""What only a host with userns-remap has. That every driver gives what the engine said is in tests/conformance."""
import os

import rescued
from rig import listing


def test_owner_ids(dead_root_of, disk_dir):
    """`disk` keeps the ids of the disk, `container` shifts them by the map, which the manifest records."""
    root = dead_root_of('debian-userns')
    start = root.truth['volumes'] and int(os.path.basename(root.data_root).split('.')[0])
    assert start > 0
    for owner_ids in ('disk', 'container'):
        dest = os.path.join(disk_dir, owner_ids)
        result = rescued.rescue(root, dest, containers=('shop-web-1',), volumes=('shop-data',), owner_ids=owner_ids)
        bundle = next(item for item in result['bundles'] if item['kind'] == 'volume')
        target = os.path.join(dest, 'extracted')
        rescued.extract(os.path.join(bundle['path'], rescued.component(bundle, 'volume:shop-data')['file']), target)
        ours = {item['path']: item for item in listing.listing(target)}
        said = {item['path']: item for item in root.tree(root.truth['volumes']['shop-data']['tree']) if item['type'] != 's'}
        assert set(ours) == set(said)
        shifted = 0
        for path, item in said.items():
            uid = item['uid']
            if owner_ids == 'container' and start <= uid < start + 65536:
                uid -= start
                shifted += 1
            assert ours[path]['uid'] == uid, path
        assert (shifted > 0) == (owner_ids == 'container')
        manifest = rescued.manifest(bundle)
        assert manifest['source']['owner_ids'] == owner_ids
        assert manifest['source']['idmap']['uid'][0][:2] == [0, start]

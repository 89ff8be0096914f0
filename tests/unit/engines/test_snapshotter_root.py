"""A snapshotter that the configuration of containerd put elsewhere (root_path): its layers are found there."""
import os
import shutil

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.engines import registry
from ansible_collections.lifeboat.docker.plugins.module_utils.facts import gather

FOLDER = 'io.containerd.snapshotter.v1.overlayfs'


@pytest.mark.parametrize('folder_left', [False, True])
def test_layers_in_a_root_of_their_own(tmp_path, folder_left):
    root = tmp_path / 'var' / 'lib' / 'containerd'
    deadroot.build(str(tmp_path / 'var/lib/docker'), store='containerd', containerd_root=str(root), host_root=str(tmp_path), containers=3)
    with registry.open_host(os.fsencode(str(tmp_path))) as host:
        before = gather.gather(host, gather.Options())
    (tmp_path / 'fast').mkdir()
    shutil.move(str(root / FOLDER), str(tmp_path / 'fast' / 'overlay'))
    if folder_left:                     # containerd makes it, whatever is configured
        (root / FOLDER).mkdir()
    (tmp_path / 'etc' / 'containerd').mkdir(parents=True, exist_ok=True)
    (tmp_path / 'etc' / 'containerd' / 'config.toml').write_text(
        '[plugins]\n  [plugins."io.containerd.snapshotter.v1.overlayfs"]\n    root_path = "/fast/overlay"\n')
    with registry.open_host(os.fsencode(str(tmp_path))) as host:
        moved = gather.gather(host, gather.Options())
        assert os.fsencode(str(tmp_path / 'fast' / 'overlay')) in host.roots[0].places()        # nothing is written there
    assert [item['status'] for item in moved['containers']] == [item['status'] for item in before['containers']]
    assert moved['summary']['complete'] and {item['status'] for item in moved['images']} == {item['status'] for item in before['images']}
    assert all(item['layers']['writable'].startswith(str(tmp_path / 'fast' / 'overlay')) for item in moved['containers'])

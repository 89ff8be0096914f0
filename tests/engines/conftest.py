"""What the tests of real engines share: the rig's fixtures, and bundles for those that restore."""
import os
import shutil
import tempfile

import pytest
import rescued
from rig import engine

# what is restored of the shop
RESTORED = ('shop-web-1', 'shop-db-1', 'shop-created', 'shop-tty', 'shop-quiet', 'shop-from-commit', 'shop-renamed', 'shop-paused',
            'shop-logger-local')


def pytest_configure(config):
    """By name, so that the roots are built once when tests/conformance is run with these tests."""
    config.pluginmanager.import_plugin('rig.fixtures')


@pytest.fixture(scope='session')
def bundles():
    """bundles(root): {container: path of its bundle} of a rescue of the shop with images."""
    made = {}

    def get(root):
        if root.kind not in made:
            result = rescued.rescue(root, os.path.join(root.scratch, 'for-restore'), containers=RESTORED,
                                    include=('config', 'writable', 'image', 'volumes', 'binds', 'logs'))
            made[root.kind] = {item['container']: item['path'] for item in result['bundles']}
        return made[root.kind]
    return get


@pytest.fixture
def scratch():
    """A folder on the disk that also has the engines."""
    path = tempfile.mkdtemp(prefix='lb-test-', dir=engine.scratch_parent())
    yield path
    shutil.rmtree(path)

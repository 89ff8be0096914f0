"""What tests of this folder need of the machine."""
import os
import shutil

import pytest

# mount of util-linux 2.41 hands each option to fsconfig(2), which takes 255 bytes: too few for a stack of layers
os.environ.setdefault('LIBMOUNT_FORCE_MOUNT2', 'always')


def need(*tools):
    """Skip, with what is missing; a failure in CI, where everything is to be installed."""
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        (pytest.fail if os.environ.get('CI') else pytest.skip)('not installed: %s' % ', '.join(missing))

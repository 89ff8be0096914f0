# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lab for all tests of a run; what is missing for it fails the run, unless LIFEBOAT_DELIVERY_OPTIONAL is set."""
import os
import shutil
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'fixtures')]

import hosts  # noqa: E402


@pytest.fixture(scope='session')
def lab():
    lacks = hosts.missing()
    if lacks:
        if os.environ.get('LIFEBOAT_DELIVERY_OPTIONAL'):
            pytest.skip('needs ' + ', '.join(lacks))
        pytest.fail('these tests need ' + ', '.join(lacks))
    # the login user has to come through, so not below pytest's private folder
    folder = tempfile.mkdtemp(prefix='delivery-lab-')
    os.chmod(folder, 0o755)
    made = hosts.Lab(os.path.join(folder, 'hosts'))
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope='session')
def first(lab):
    return lab.host(1)


@pytest.fixture
def controller(tmp_path):
    return hosts.Controller(str(tmp_path / 'controller'))

# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection importable wherever the checkout lies, and the builders of tests/fixtures with it."""
import importlib.util
import os
import sys
import types

HERE = os.path.dirname(os.path.abspath(__file__))
COLLECTION = os.path.dirname(os.path.dirname(HERE))
FIXTURES = os.path.join(COLLECTION, 'tests', 'fixtures')

# the fixtures' builders, and the helpers that lie beside some tests (ansible-test does not add their folders)
for folder in [FIXTURES] + sorted(each.path for each in os.scandir(HERE) if each.is_dir()):
    if folder not in sys.path:
        sys.path.append(folder)


def importable():
    try:
        return importlib.util.find_spec('ansible_collections.lifeboat.docker.plugins') is not None
    except ImportError:
        return False


if not importable():
    # not below .../ansible_collections/lifeboat: give the checkout the package names it has when installed
    for name, where in (('ansible_collections', []), ('ansible_collections.lifeboat', []),
                        ('ansible_collections.lifeboat.docker', [COLLECTION])):
        package = sys.modules.setdefault(name, types.ModuleType(name))
        package.__path__ = where + list(getattr(package, '__path__', []))
        parent, dummy, child = name.rpartition('.')
        if parent:
            setattr(sys.modules[parent], child, package)

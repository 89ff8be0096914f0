"""The one place that says where tests import from; no test changes sys.path.

pytest reads it before every test below tests/, also for one file and under `ansible-test units`. That is why it is here and
not in the option `pythonpath`: ansible-test gives pytest a configuration file of its own. It must run on Python 3.6.
"""
import importlib.util
import os
import sys
import types

HERE = os.path.dirname(os.path.abspath(__file__))
COLLECTION = os.path.dirname(HERE)


def _rooms(*parts):
    top = os.path.join(HERE, *parts)
    return sorted(each.path for each in os.scandir(top) if each.is_dir() and not each.name.startswith(('_', '.')))


# builders of dead hosts; the rig of real engines; the tools; then the helpers that lie beside unit tests
FOLDERS = [os.path.join(HERE, 'fixtures'), os.path.join(HERE, 'engines'), os.path.join(HERE, 'conformance'), os.path.join(HERE, 'delivery'),
           os.path.join(HERE, 'machines'),
           os.path.join(COLLECTION, 'tools')] + _rooms('unit') + _rooms('unit', 'plugins')
sys.path += [folder for folder in FOLDERS if folder not in sys.path]


def importable():
    """Is the collection there under its own name, as it is when installed?"""
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


def pytest_configure(config):
    config.addinivalue_line('markers', 'soak: takes long or what few machines have; only with LIFEBOAT_SOAK')
    config.addinivalue_line('markers', 'newest: long, and the same whatever the Python; where only some cases of each test run, none of these')


def pytest_collection_modifyitems(config, items):
    """What runs. LIFEBOAT_SOAK: tests with the mark `soak`, too. LIFEBOAT_OF_EACH: of a test with many parameters only so many cases,
    spread evenly from the first to the last, and none with the mark `newest`."""
    chosen = [item for item in items if os.environ.get('LIFEBOAT_SOAK') or not item.get_closest_marker('soak')]
    most = int(os.environ.get('LIFEBOAT_OF_EACH') or 0)
    if most:
        import cases
        kinds = {}
        for item in chosen:
            if item.get_closest_marker('newest'):
                continue
            kinds.setdefault(item.nodeid.split('[')[0], []).append(item)
        chosen = [item for found in kinds.values() for item in cases.spread(found, most)]
    keep = {id(item) for item in chosen}
    left = [item for item in items if id(item) not in keep]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if id(item) in keep]

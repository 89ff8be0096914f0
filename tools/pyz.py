"""`make pyz`: dist/lifeboat.pyz, the tool as one file that needs nothing but Python 3.6, and the same as a wheel.

    python3 tools/pyz.py [FOLDER]

Both hold what the tool needs of plugins/module_utils, under the package name lifeboat_docker. The same bytes whenever and
wherever they are built (with the same zlib): names in order, plain modes, one time for all (SOURCE_DATE_EPOCH, by
default that of the last commit). Also a build backend (PEP 517) for pip and pipx, see pyproject.toml. Standard library only.
"""
import ast
import base64
import functools
import hashlib
import io
import os
import re
import subprocess
import sys
import time
import zipfile

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
UTILS = os.path.join(CHECKOUT, 'plugins', 'module_utils')
PACKAGE = 'lifeboat_docker'
PROJECT = 'lifeboat-docker'
LAUNCH = 1767225600                     # 2026-01-01, for a checkout without history
SHEBANG = b'#!/usr/bin/env python3\n'
# loaded by name
BY_NAME = ('cli/verbs', 'engines/docker/drivers')
# Python's zipimport compiles each file twice: once when it asks for the file's name, once to run it. That was a third of the time to start.
MAIN = '''\
import sys
if sys.version_info < (3, 6):
    sys.exit('lifeboat needs Python 3.6 or newer, and this is %d.%d' % sys.version_info[:2])
from importlib.machinery import ModuleSpec


class Importer:
    """Imports the package out of this file."""

    def __init__(self, zipped):
        self.archive, self._read, self._sources = zipped.archive, zipped.get_data, {}

    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] != 'lifeboat_docker':
            return None
        base = '%s/%s' % (self.archive, name.replace('.', '/'))
        for origin, package in ((base + '.py', False), (base + '/__init__.py', True)):
            try:
                self._sources[name] = self._read(origin)
            except OSError:
                continue
            return ModuleSpec(name, self, origin=origin, is_package=package)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__file__ = module.__spec__.origin
        exec(compile(self._sources.pop(module.__name__), module.__file__, 'exec', 0, True), module.__dict__)

    def get_source(self, name):
        return self._read(sys.modules[name].__file__).decode('utf-8')


if hasattr(__loader__, 'archive'):      # not where somebody unpacked it
    sys.meta_path.insert(0, Importer(__loader__))
from lifeboat_docker.cli.main import main
sys.exit(main())
'''


def read(path):
    with open(path, 'rb') as source:
        return source.read()


@functools.lru_cache(maxsize=None)
def relative_imports(source):
    """((level, module, names), ...) of the relative imports in SOURCE (bytes), wherever in it but where only types are asked for."""
    found, pending = [], [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == 'TYPE_CHECKING':
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append((node.level, node.module, tuple(alias.name for alias in node.names)))
        pending.extend(ast.iter_child_nodes(node))
    return tuple(found)


def imported(path):
    """Names of the files (relative to module_utils) that a file of module_utils may import, wherever in it."""
    place = os.path.relpath(path, UTILS).split(os.sep)
    for level, module, aliases in relative_imports(read(path)):
        parts = place[:len(place) - level] + (module.split('.') if module else [])
        for names in [parts] + [parts + [alias] for alias in aliases]:
            base = os.path.join(UTILS, *names)
            for name in (base + '.py', os.path.join(base, '__init__.py')):
                if os.path.exists(name):
                    yield os.path.relpath(name, UTILS)


def needed():
    """Sorted names (relative to module_utils) of what the tool needs, packages' __init__.py included."""
    pending = [os.path.join('cli', 'main.py')]
    for folder in BY_NAME:
        pending += [os.path.join(folder, name) for name in os.listdir(os.path.join(UTILS, folder)) if name.endswith('.py')]
    found = {'__init__.py'}
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        folder = os.path.dirname(name)
        while folder:
            pending.append(os.path.join(folder, '__init__.py'))
            folder = os.path.dirname(folder)
        pending += imported(os.path.join(UTILS, name))
    return sorted(found)


def version():
    return re.search(r"^version: *(\S+)", read(os.path.join(CHECKOUT, 'galaxy.yml')).decode('utf-8'), re.MULTILINE).group(1)


def epoch():
    """Seconds since 1970 that every member gets."""
    if os.environ.get('SOURCE_DATE_EPOCH'):
        return int(os.environ['SOURCE_DATE_EPOCH'])
    try:
        return int(subprocess.run(['git', '-C', CHECKOUT, 'log', '-1', '--format=%ct'], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, check=True).stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return LAUNCH


def contents():
    """{name in the archive: bytes} of the package."""
    return {'%s/%s' % (PACKAGE, name.replace(os.sep, '/')): read(os.path.join(UTILS, name)) for name in needed()}


def packed(members, when):
    """A zip archive of MEMBERS, {name: bytes}. No zip knows a time before 1980."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, time.gmtime(max(when, 315532800))[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o100644 << 16
            info.create_system = 3
            archive.writestr(info, members[name])
    return buffer.getvalue()


def pyz(folder, when=None):
    """Build lifeboat.pyz into FOLDER; returns its path."""
    path = os.path.join(folder, 'lifeboat.pyz')
    data = SHEBANG + packed(dict(contents(), **{'__main__.py': MAIN.encode('ascii')}), epoch() if when is None else when)
    os.makedirs(folder, exist_ok=True)
    with open(path, 'wb') as out:
        out.write(data)
    os.chmod(path, 0o755)
    return path


# -- the wheel -----------------------------------------------------------------------------------------------------------

METADATA = '''\
Metadata-Version: 2.1
Name: {project}
Version: {version}
Summary: Rescues the data of dead Docker hosts, without a Docker daemon
License: GPL-3.0-or-later
Project-URL: Source, https://github.com/lifeboat-docker/lifeboat.docker
Classifier: Environment :: Console
Classifier: License :: OSI Approved :: GNU General Public License v3 or later (GPLv3+)
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: Python :: 3
Requires-Python: >=3.6
Description-Content-Type: text/markdown

'''
WHEEL = 'Wheel-Version: 1.0\nGenerator: lifeboat\nRoot-Is-Purelib: true\nTag: py3-none-any\n'
ENTRY_POINTS = '[console_scripts]\nlifeboat = lifeboat_docker.cli.main:main\n'


def dist_info():
    """{name in the wheel: bytes} of its metadata, without RECORD."""
    folder = '%s-%s.dist-info/' % (PACKAGE, version())
    head = METADATA.format(project=PROJECT, version=version()).encode('ascii')
    return {folder + 'METADATA': head + read(os.path.join(CHECKOUT, 'docs', 'tool.md')), folder + 'WHEEL': WHEEL.encode('ascii'),
            folder + 'entry_points.txt': ENTRY_POINTS.encode('ascii'), folder + 'LICENSE': read(os.path.join(CHECKOUT, 'LICENSE'))}


def wheel(folder, when=None):
    """Build the wheel into FOLDER; returns its path."""
    members = dict(contents(), **dist_info())
    record = '%s-%s.dist-info/RECORD' % (PACKAGE, version())
    lines = ['%s,sha256=%s,%d' % (name, base64.urlsafe_b64encode(hashlib.sha256(members[name]).digest()).rstrip(b'=').decode('ascii'),
                                  len(members[name])) for name in sorted(members)]
    members[record] = ('\n'.join(lines + [record + ',,']) + '\n').encode('utf-8')
    path = os.path.join(folder, '%s-%s-py3-none-any.whl' % (PACKAGE, version()))
    os.makedirs(folder, exist_ok=True)
    with open(path, 'wb') as out:
        out.write(packed(members, epoch() if when is None else when))
    return path


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """PEP 517: what pip and pipx call."""
    del config_settings, metadata_directory
    return os.path.basename(wheel(wheel_directory))


def build_sdist(sdist_directory, config_settings=None):
    """PEP 517 asks for it; the collection's tarball is the source."""
    del sdist_directory, config_settings
    raise NotImplementedError('the source of lifeboat-docker is the tarball of the collection lifeboat.docker')


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(CHECKOUT, 'dist')
    path = pyz(folder)
    print('%s  %s (%d bytes)' % (hashlib.sha256(read(path)).hexdigest(), os.path.relpath(path), os.path.getsize(path)))


if __name__ == '__main__':
    main()

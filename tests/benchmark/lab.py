"""What rows are made of: a registry, and test data that are made once.

A row:

    @lab.row('name')
    def some_row(here):                                 # here: Lab
        yield lab.Row('what it does', 'work', {'path': ...}, [lab.Reference('label', 'shell command', 1.3)])

and the work that it names, which runs in a process of its own:

    @lab.work('work')
    def some_work(path):                                # imports and preparation, not measured
        from ... import ...
        return lambda: ...                              # measured
"""
import os
import random
import shutil
import stat
import sys
import types

ROWS = {}
WORKS = {}
PEAK_KIB = 64 * 1024
COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UTILS = 'ansible_collections.lifeboat.docker.plugins.module_utils'


def row(name):
    def register(function):
        ROWS[name] = function
        return function
    return register


def work(name):
    def register(function):
        WORKS[name] = function
        return function
    return register


def importable():
    """The checkout under the names that it has when installed, wherever it lies."""
    if 'ansible_collections' in sys.modules:
        return
    for name, where in (('ansible_collections', []), ('ansible_collections.lifeboat', []),
                        ('ansible_collections.lifeboat.docker', [COLLECTION])):
        package = types.ModuleType(name)
        package.__path__ = where
        sys.modules[name] = package


class Reference(object):
    """A command line to compare with. TARGET: our time divided by its time, at most. TIMES: how often it would have to
    run for the work that ours does in one run."""

    def __init__(self, label, command, target=None, times=1.0):
        self.label, self.command, self.target, self.times = label, command, target, times


class Row(object):
    """UNITS: how much work it is; the rows of one function are then also compared with the first of them, and
    must not be dearer per unit than LINEAR times. BEFORE: called before each run of either side. OUTPUTS: removed
    after each. START: ours includes the start of Python, as the reference does. CPU: most seconds of processor time."""

    def __init__(self, label, work_name, arguments, references=(), units=None, linear=1.25, before=None, outputs=(),
                 start=False, cpu=None):
        self.label, self.work, self.arguments, self.references = label, work_name, arguments, list(references)
        self.units, self.linear, self.before, self.outputs = units, linear, before, outputs
        self.start, self.cpu = start, cpu

    def clean(self):
        for path in self.outputs:
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)


class Lab(object):
    """The folder with the test data. Each is made once; a folder that was not finished is made again."""

    def __init__(self, folder, scale=1.0):
        self.folder = folder
        self.scale = scale

    def count(self, number):
        return max(1, int(number * self.scale))

    def path(self, name):
        return os.path.join(self.folder, name)

    def made(self, name, build):
        """Path of a folder that BUILD(path, random) fills; the same content on every machine."""
        name = '%s-%g' % (name, self.scale)
        path = self.path(name)
        if not os.path.isdir(path):
            part = path + '.part'
            shutil.rmtree(part, ignore_errors=True)
            os.makedirs(part)
            build(part, random.Random(name))
            os.rename(part, path)
        return path

    def small_files(self, count, size=800):
        """COUNT files of SIZE bytes, half of them noise, 100 in a folder."""
        def build(path, dice):
            for number in range(count):
                folder = os.path.join(path, 'd%04d' % (number // 100))
                if number % 100 == 0:
                    os.mkdir(folder)
                with open(os.path.join(folder, 'file%02d.txt' % (number % 100)), 'wb') as handle:
                    handle.write(dice.getrandbits(size * 4).to_bytes(size // 2, 'little') + b'abcdefgh' * (size // 16))
        return self.made('small-%d' % count, build)

    def usr(self):
        """600 MB of this machine's own /usr, as it comes."""
        limit = self.count(600 * 10**6)

        def build(path, dice):
            left = limit
            for base, folders, files in os.walk('/usr'):
                folders.sort()
                target = path + base
                os.makedirs(target, exist_ok=True)
                for name in sorted(files):
                    source = os.path.join(base, name)
                    st = os.lstat(source)
                    if stat.S_ISREG(st.st_mode) and st.st_size < limit // 10:
                        left -= st.st_size
                    elif not stat.S_ISLNK(st.st_mode):
                        continue
                    shutil.copy2(source, os.path.join(target, name), follow_symlinks=False)
                    if left < 0:
                        return
        return self.made('usr', build)

    def big_file(self, size):
        """One file that zstd halves: what /usr holds, file after file, with noise between."""
        tree = self.usr()

        def contents():
            while True:
                for base, folders, files in os.walk(tree):
                    folders.sort()
                    for name in sorted(files):
                        path = os.path.join(base, name)
                        if not os.path.islink(path):
                            with open(path, 'rb') as handle:
                                yield handle.read()

        def build(path, dice):
            with open(os.path.join(path, 'file'), 'wb') as handle:
                left = size
                for content in contents():
                    block = (content + os.urandom(len(content) // 3))[:left]
                    handle.write(block)
                    left -= len(block)
                    if not left:
                        return
        return self.made('mixed-%d' % size, build)

    def sparse_file(self):
        """100 GiB with 10 MB of data at 100 places."""
        def build(path, dice):
            with open(os.path.join(path, 'file'), 'wb') as handle:
                for number in range(100):
                    handle.seek(number << 30)
                    handle.write(os.urandom(50000) + b'data' * 12500)
                handle.truncate(100 << 30)
        return self.made('sparse', build)

    def overlay_layers(self, count, layers=12):
        """A folder with LAYERS overlay layers, `00` the lowest, that together show COUNT files of 2 kB. Every layer but the
        lowest also replaces, deletes and (a folder as a whole) hides what lies below. Needs root."""
        def build(path, dice):
            def write(base, name):
                target = os.path.join(base, name)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, 'wb') as handle:
                    handle.write(dice.getrandbits(8000).to_bytes(1000, 'little') + b'abcdefgh' * 125)

            shown, number = set(), 0
            for level in range(layers):
                base = os.path.join(path, '%02d' % level)
                os.mkdir(base)
                if level:
                    some = dice.sample(sorted(shown), min(len(shown), count // layers // 10 + 2))
                    hidden = os.path.dirname(some[0])
                    for name in some[1:len(some) // 2]:
                        write(base, name)       # which are shown already
                    for name in some[len(some) // 2:]:
                        if os.path.dirname(name) != hidden:
                            os.makedirs(os.path.dirname(os.path.join(base, name)), exist_ok=True)
                            os.mknod(os.path.join(base, name), stat.S_IFCHR)
                            shown.discard(name)
                    shutil.rmtree(os.path.join(base, hidden), ignore_errors=True)
                    shown = {name for name in shown if os.path.dirname(name) != hidden}
                    os.makedirs(os.path.join(base, hidden))
                    os.setxattr(os.path.join(base, hidden), 'trusted.overlay.opaque', b'y')
                wanted = count * (level + 1) // layers
                while len(shown) < wanted:
                    name = 'usr/share/d%03d/s%d/file-%06d' % (number // 60 % 300, number // 20 % 3, number)
                    write(base, name)
                    shown.add(name)
                    number += 1
        return self.made('layers-%d' % count, build)

    def hard_links(self, count):
        """COUNT files with two names each, far apart."""
        def build(path, dice):
            for side in ('a', 'b'):
                for number in range(count):
                    folder = os.path.join(path, side, '%04d' % (number // 100))
                    if number % 100 == 0:
                        os.makedirs(folder)
                    name = os.path.join(folder, 'a-name-of-usual-length-%02d' % (number % 100))
                    if side == 'a':
                        with open(name, 'wb') as handle:
                            handle.write(b'%d' % number)
                    else:
                        os.link(name.replace(path + '/b', path + '/a', 1), name)
        return self.made('links-%d' % count, build)

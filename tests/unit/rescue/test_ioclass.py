"""Giving way to others; a kernel or a machine that cannot do it ends no rescue."""
import ctypes
import os
import subprocess
import sys

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.rescue import ioclass

SCRIPT = """
import ctypes, os, runpy, sys
apply = runpy.run_path(sys.argv[1])['apply']
done = apply(sys.argv[2])
print(done, ctypes.CDLL(None).syscall(int(sys.argv[3]), 1, 0), os.nice(0))
"""


@pytest.mark.parametrize('name, value, nice', [('idle', 3 << 13, 19), ('best-effort', 2 << 13 | 7, 5)])
def test_the_kernel_says_so(name, value, nice):
    number = {'x86_64': 252, 'aarch64': 31}[os.uname().machine]       # ioprio_get
    before = os.nice(0)
    said = subprocess.check_output([sys.executable, '-c', SCRIPT, ioclass.__file__, name, str(number)]).split()
    assert said == [b'True', b'%d' % value, b'%d' % min(19, before + nice)]


def test_normal_does_nothing(monkeypatch):
    monkeypatch.setattr(ioclass.os, 'nice', lambda amount: pytest.fail('nice'))
    assert ioclass.apply('normal') is True


class Machine(object):
    def __init__(self, machine):
        self.machine = machine


class Refusing(object):
    """A C library in whose kernel the call does not exist or is not allowed."""

    def __init__(self, *dummy, **more):
        pass

    @staticmethod
    def syscall(*dummy):
        return -1


class Without(object):
    """A C library without syscall(3)."""

    def __init__(self, *dummy, **more):
        pass


def broken(*dummy, **more):
    raise OSError('no such library')


@pytest.mark.parametrize('patches', [
    {'machine': 'sparc64'}, {'library': Refusing}, {'library': broken}, {'library': Without}, {'nice': broken},
    {'ctypes': None},
])
def test_what_cannot_be_done_is_no_error(monkeypatch, patches):
    called = []
    monkeypatch.setattr(ioclass.os, 'uname', lambda: Machine(patches.get('machine', 'x86_64')))
    monkeypatch.setattr(ioclass.os, 'nice', patches.get('nice', called.append))
    monkeypatch.setattr(ctypes, 'CDLL', patches.get('library', Refusing))
    monkeypatch.setitem(sys.modules, 'ctypes', patches.get('ctypes', ctypes))
    assert ioclass.apply('idle') is False
    assert called == ([] if 'nice' in patches else [19])

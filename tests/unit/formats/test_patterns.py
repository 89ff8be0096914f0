"""Patterns that are compiled on their first use: they do what re's do, and every one in the house can be compiled."""
import copy
import importlib
import os
import re

import pytest

from ansible_collections.lifeboat.docker.plugins import module_utils
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.patterns import Lazy

UTILS = os.path.dirname(os.path.abspath(module_utils.__file__))


def users():
    """Dotted names of the modules of module_utils that use Lazy."""
    for base, dummy, files in os.walk(UTILS):
        for name in files:
            path = os.path.join(base, name)
            if name.endswith('.py') and name != 'patterns.py':
                with open(path, encoding='utf-8') as source:
                    if 'patterns import Lazy' in source.read():
                        yield os.path.relpath(path, UTILS)[:-3].replace(os.sep, '.')


@pytest.mark.parametrize('name', sorted(users()))
def test_every_lazy_pattern_can_be_compiled(name):
    module = importlib.import_module(module_utils.__name__ + '.' + name)
    found = [value for value in vars(module).values() if isinstance(value, Lazy)]
    assert found
    for value in found:
        assert value.pattern


def test_it_does_what_a_compiled_pattern_does():
    lazy, compiled = Lazy('(a+)(b)?', re.IGNORECASE), re.compile('(a+)(b)?', re.IGNORECASE)
    for dummy in range(2):
        assert lazy.findall('xaAb a') == compiled.findall('xaAb a')
        assert lazy.sub(r'<\1>', 'xaab') == compiled.sub(r'<\1>', 'xaab')
        assert lazy.match('xa') is None and lazy.search('xa', 1).span() == (1, 2)
        assert (lazy.flags, lazy.groups) == (compiled.flags, compiled.groups)
    assert copy.copy(lazy).findall('aab') == [('aa', 'b')]


def test_a_wrong_pattern_and_an_unknown_method_are_errors():
    with pytest.raises(re.error):
        Lazy('(').match('')
    with pytest.raises(AttributeError):
        assert Lazy('a').nothing

"""A default is made once and shared by all who do not give a value: nothing that can change is one."""
import ast
import copy
import glob
import json
import os
import pickle

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats.values import NOTHING

PLUGINS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'plugins')
CHANGES = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp, ast.GeneratorExp)
FIXED = {'frozenset', 'tuple', 'bytes'}     # calls whose value cannot change


def defaults(tree):
    """(node, names of classes whose call is no change) of every default of a function, a lambda and a field of a record."""
    records = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and is_record(node)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            for default in node.args.defaults + [one for one in node.args.kw_defaults if one is not None]:
                yield default, FIXED
        elif isinstance(node, ast.ClassDef) and is_record(node):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and field.value is not None:
                    yield field.value, FIXED | records


def is_record(node):
    return any(getattr(base, 'id', getattr(base, 'attr', '')) == 'NamedTuple' for base in node.bases)


def shared(source):
    """Lines of SOURCE with a default that can change."""
    found = set()
    for default, fixed in defaults(ast.parse(source)):
        for node in ast.walk(default):
            if isinstance(node, CHANGES) or (isinstance(node, ast.Call) and getattr(node.func, 'id', '') not in fixed):
                found.add(default.lineno)
    return sorted(found)


@pytest.mark.parametrize('source, lines', [
    ('def f(x={}): pass', [1]), ('def f(*, x=[]): pass', [1]), ('def f(x=Progress()): pass', [1]), ('lambda x=dict(): x', [1]),
    ('def f(x=(1, [])): pass', [1]), ('def f(x=(), y=None, z=frozenset((1, 2))): pass', []),
    ('class A(NamedTuple):\n    x: dict = {}', [2]), ('class A(NamedTuple):\n    x: int = 1\nclass B(NamedTuple):\n    a: A = A()', []),
    ('async def f(x={1}): pass', [1])])
def test_what_counts(source, lines):
    assert shared(source) == lines


def test_no_default_can_change():
    found = []
    for path in sorted(glob.glob(os.path.join(PLUGINS, '**', '*.py'), recursive=True)):
        with open(path, encoding='utf-8') as source:
            found += ['%s:%d' % (os.path.relpath(path, PLUGINS), line) for line in shared(source.read())]
    assert found == []


def test_the_shared_empty_dictionary_stays_empty():
    for change in (lambda: NOTHING.update(a=1), lambda: NOTHING.setdefault('a', 1), lambda: NOTHING.__setitem__('a', 1),
                   lambda: NOTHING.__ior__({'a': 1})):
        with pytest.raises(TypeError, match='shared'):
            change()
    assert NOTHING == {} and json.dumps(NOTHING) == '{}'
    assert copy.deepcopy(NOTHING) == {} == pickle.loads(pickle.dumps(NOTHING)) and dict(NOTHING, a=1) == {'a': 1}

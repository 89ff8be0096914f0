"""Imports go down only, as docs/design.md draws it."""
import ast
import glob
import os

import pytest

UTILS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'plugins', 'module_utils')
GROUND = {'formats', 'disk', 'records', 'layers'}
BELOW_BUNDLES = GROUND | {'engines', 'archive', 'databases', 'deployment', 'recreate', 'images', 'usage'}
# what a room may know: itself and these
BELOW = {
    'formats': set(),
    'disk': {'formats'},
    'records': {'formats', 'disk'},
    'layers': {'formats', 'disk', 'records'},
    'engines': GROUND,
    'attach': GROUND | {'engines'},
    'databases': GROUND,
    'archive': GROUND | {'databases'},
    'deployment': GROUND,
    'recreate': GROUND,
    'images': GROUND | {'archive'},
    'usage': GROUND | {'databases'},
    'bundles': GROUND | {'engines', 'archive', 'deployment', 'recreate', 'images'},
    'transport': GROUND | {'archive', 'images', 'bundles'},
    'facts': BELOW_BUNDLES,
    'rescue': BELOW_BUNDLES | {'bundles', 'transport', 'dump'},
    'restore': BELOW_BUNDLES | {'bundles', 'transport'},
    'repair': GROUND | {'archive', 'engines', 'images'},
    'dump': BELOW_BUNDLES | {'bundles'},
    'swarm': BELOW_BUNDLES | {'bundles'},
    'cli': BELOW_BUNDLES | {'attach', 'bundles', 'dump', 'facts', 'rescue', 'repair', 'restore', 'swarm', 'module'},
}
# the sender is the module itself, gone into the background
EXCEPTIONS = {('rescue/sender.py', 'module')}


def imported(path):
    """Yield the rooms, or files beside them, that a file of module_utils imports from, wherever in it."""
    place = os.path.relpath(path, UTILS).split(os.sep)
    with open(path, encoding='utf-8') as source:
        tree = ast.parse(source.read())
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            names = place[:len(place) - node.level] + (node.module.split('.') if node.module else [])
            for alias in node.names if not names else ():
                yield alias.name
            if names:
                yield names[0]
        elif node.module.startswith('ansible'):
            yield node.module


@pytest.mark.parametrize('room', sorted(BELOW))
def test_rooms_know_only_what_lies_below(room):
    found = {(os.path.relpath(path, UTILS), name) for path in glob.glob(os.path.join(UTILS, room, '**', '*.py'), recursive=True)
             for name in imported(path) if name != room and name not in BELOW[room]}
    assert found - EXCEPTIONS == set()


def test_every_room_is_known():
    assert {os.path.basename(path[:-1]) for path in glob.glob(os.path.join(UTILS, '*', '')) if not path.endswith('__pycache__/')} == set(BELOW)

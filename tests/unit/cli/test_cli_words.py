"""Who typed a command is told its arguments, and never options of a module."""
import ast
import os
import re

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils import cli
from ansible_collections.lifeboat.docker.plugins.module_utils.cli import words

OPTIONS = re.compile(r'become: true|data_roots?|host_root|containerd_root|check_space|gather_subset|max_bytes|on_error|owner_ids|host_name')
HERE = os.path.dirname(os.path.dirname(os.path.abspath(cli.__file__)))


@pytest.mark.parametrize('said, heard', [
    ('Run as root (become: true), or name the data root in data_roots.', 'Run as root (sudo), or name the data root in --data-root.'),
    ('x may not be read by this user; run as root (become: true).', 'x may not be read by this user; run as root (sudo).'),
    ('Use become: true, or read a copy of the disk.', 'Use sudo, or read a copy of the disk.'),
    ('for that one leave host_root at /.', 'for that one leave --host-root at /.'),
    ('Choose a dest on another disk, or store_on: controller.', 'Choose a DEST on another disk, or on another machine.'),
    ('Rescue again with include naming them.', 'Rescue again with --include naming them.'),
    ('The folder /srv/data_roots of "data_roots" is dest-1.', 'The folder /srv/data_roots of "data_roots" is dest-1.'),
    ('data_roots/x and my-host_root.d stay.', 'data_roots/x and my-host_root.d stay.')])
def test_words(said, heard):
    assert words.tool(said) == heard


def test_a_result_is_not_changed_but_its_problems_are():
    found = {'containers': [{'name': 'data_roots', 'problems': [{'code': 'X', 'message': 'See data_roots.', 'next_step': 'Use become: true.'}]}],
             'summary': {'next_steps': ['Name it in data_roots.']}}
    assert words.spoken(found) == {
        'containers': [{'name': 'data_roots', 'problems': [{'code': 'X', 'message': 'See --data-root.', 'next_step': 'Use sudo.'}]}],
        'summary': {'next_steps': ['Name it in --data-root.']}}
    assert found['containers'][0]['problems'][0]['message'] == 'See data_roots.'


def test_every_argument_that_is_named_exists():
    """What the list promises can be typed."""
    known = ''
    for name in ('parser.py', 'verbs/rescue.py', 'verbs/look.py', 'verbs/swarm.py'):
        with open(os.path.join(HERE, 'cli', name)) as source:
            known += source.read()
    for dummy, said in words.WORDS:
        for flag in re.findall(r'--[a-z-]+', said):
            assert "'%s'" % flag in known, flag


def test_no_sentence_of_the_library_keeps_an_option():
    """Every text in the source that names an option in a sentence is heard without it."""
    left = []
    for folder in ('disk', 'engines/docker', 'engines/docker/finding', 'rescue', 'bundles', 'images', 'facts'):
        for name in sorted(os.listdir(os.path.join(HERE, folder))):
            if not name.endswith('.py'):
                continue
            with open(os.path.join(HERE, folder, name), encoding='utf-8') as source:
                tree = ast.parse(source.read())
            described = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
            left += [(name, node.value) for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
                     and ' ' in node.value and node not in described and OPTIONS.search(words.tool(node.value))]
    assert left == []


def test_the_tool_says_them(lifeboat, tmp_path):
    ran = lifeboat('--data-root', '/no/such/folder', 'look')
    assert ran.status == 2 and '--data-root' in ran.err and not OPTIONS.search(ran.err)
    ran = lifeboat('look', host_root=str(tmp_path))
    assert not OPTIONS.search(ran.out.decode() + ran.err)

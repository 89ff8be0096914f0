"""No message says "1 files": a number with a noun behind it is written by wording.number()."""
import ast
import os
import re
import sys

import pytest

PLUGINS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'plugins')
NOUNS = ('bundle', 'byte', 'change', 'container', 'database', 'device', 'disk', 'dump', 'entry', 'file', 'folder', 'group', 'host', 'image', 'layer', 'link',
         'member', 'message', 'mount', 'network', 'object', 'place', 'problem', 'process', 'record', 'row', 'secret', 'service', 'step', 'system',
         'table', 'time', 'volume')
COUNTED = re.compile(r'%,?d (?:(?:file|open|more|new|other|writable|damaged|deleted) )?(?:' + '|'.join(NOUNS) + r')s\b')
FIELD = re.compile(r'%(?:\([^)]*\))?[-#0 +]*(?:\*|\d+)?(?:\.(?:\*|\d+))?[a-zA-Z%]')


def string_of(node):
    """The text of a literal, None for anything else. Python before 3.8 has other nodes for them."""
    return getattr(node, 'value' if sys.version_info >= (3, 8) else 's', None)


def counted(tree):
    """Yield (line, words, the expression of the number) of every count in a message."""
    for node in ast.walk(tree):
        text = string_of(node.left) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) else None
        if isinstance(text, str):
            values = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
            fields = [item for item in FIELD.finditer(text) if item.group() != '%%']
            for found in COUNTED.finditer(text):
                number = next((index for index, item in enumerate(fields) if item.start() == found.start()), None)
                if number is not None and number < len(values):
                    yield node.lineno, found.group(), values[number]


def fixed(value):
    """Is it a limit of ours, which is never one?"""
    if isinstance(value, ast.BinOp):
        return fixed(value.left) and fixed(value.right)
    name = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ''
    return type(value).__name__ in ('Constant', 'Num') or name.isupper()


def sources():
    # what runs on nodes is all that an old Python can parse
    for folder, dummy, names in os.walk(PLUGINS if sys.version_info >= (3, 10) else os.path.join(PLUGINS, 'module_utils')):
        for name in sorted(names):
            if name.endswith('.py'):
                yield os.path.join(folder, name)


def test_no_message_says_one_files():
    found = []
    for path in sources():
        with open(path, encoding='utf-8') as stream:
            tree = ast.parse(stream.read())
        found += ['%s:%d: %s' % (os.path.relpath(path, PLUGINS), line, words) for line, words, value in counted(tree) if not fixed(value)]
    assert found == [], 'use wording.number(count, noun)'


@pytest.mark.parametrize('text, hits', [
    ("'%d files' % count", 1), ("'%d of %d bundles' % (a, len(b))", 1), ("'%d containers, %d bytes' % (a, LIMIT)", 1), ("'%d MiB' % x", 0),
    ("'%s' % number(count, 'file')", 0), ("'more than %d files' % MAX_FILES", 0), ("'%d more files' % n", 1), ("'%d filesystems' % n", 0)])
def test_what_is_looked_for(text, hits):
    assert sum(not fixed(value) for dummy, dummy2, value in counted(ast.parse(text))) == hits

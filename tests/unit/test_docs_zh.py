"""The Chinese guides say what the English ones say, as far as a program can tell: same sections, same tables, same commands."""
import os
import re

import pytest

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'docs')
FENCE = re.compile(r'^```[a-z]*\n(.*?)^```$', re.M | re.S)
HAN = re.compile('[\u4e00-\u9fff]')


def page(*names):
    with open(os.path.join(DOCS, *names), encoding='utf-8') as text:
        return text.read()


@pytest.mark.parametrize('name, fences', [('outage.md', 10), ('storage.md', 10), ('repair.md', 0)])
def test_same_content(name, fences):
    english, chinese = page(name), page('zh', name)
    commands = FENCE.findall(english)
    translated = FENCE.findall(chinese)
    assert len(commands) == len(translated) > fences
    for one, other in zip(commands, translated):
        assert one == other or HAN.search(other), other     # a drawing has words in it
    for what in (r'^#+ ', r'^\| ', r'<a id='):
        assert len(re.findall(what, FENCE.sub('', english), re.M)) == len(re.findall(what, FENCE.sub('', chinese), re.M)), what
    # in the same order: the error messages and commands in the first column of each table
    rows = [re.findall(r'^\| *(.*?) *\|', FENCE.sub('', text), re.M) for text in (english, chinese)]
    for one, other in zip(*rows):
        assert sorted(re.findall('`([^`]+)`', one)) == sorted(re.findall('`([^`]+)`', other)), other

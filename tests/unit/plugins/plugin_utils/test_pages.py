"""Pages are made from templates that escape whatever they print; all have one layout."""
from __future__ import annotations

import glob
import os
import re

import jinja2
import pytest
from markupsafe import Markup

from ansible_collections.lifeboat.docker.plugins.plugin_utils import pages

EVIL = '<b onclick="x">\'&\n\x1b[31m\u202e'
TEMPLATES = sorted(glob.glob(os.path.join(pages.HERE, '*.html')))


def page(monkeypatch, tmp_path, template, **values):
    (tmp_path / 'one.html').write_text(template)
    monkeypatch.setattr(pages, 'HERE', str(tmp_path))
    return pages.render('one.html', **values)


def test_what_is_printed_is_shown_and_escaped(monkeypatch, tmp_path):
    made = page(monkeypatch, tmp_path, '<i title="{{ x }}">{{ x }}</i>{% for one in [x] %}{{ one }}{% endfor %}', x=EVIL)
    shown = '&lt;b onclick=&#34;x&#34;&gt;&#39;&amp;\\n\\x1b[31m\\u202e'
    assert made == '<i title="%s">%s</i>%s' % (shown, shown, shown)


def test_markup_of_our_own_stays_and_is_not_shown_twice(monkeypatch, tmp_path):
    assert page(monkeypatch, tmp_path, '{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}{{ m(x) }}{{ y }}', x='<', y=Markup('<i>\n</i>')) == (
        '<b>&lt;</b><i>\n</i>')


def test_a_value_that_nobody_gave_is_an_error_and_no_gap(monkeypatch, tmp_path):
    with pytest.raises(jinja2.UndefinedError):
        page(monkeypatch, tmp_path, '{{ nobody }}')


def test_the_policy_names_the_script_that_is_in_the_page():
    assert pages._digest('') == 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='


@pytest.mark.parametrize('path', TEMPLATES, ids=os.path.basename)
def test_no_template_turns_escaping_off(path):
    with open(path, encoding='utf-8') as stream:
        source = stream.read()
    assert not re.search(r'\|\s*safe\b|autoescape|Markup', source)
    assert os.path.basename(path) in ('base.html', 'charts.html', 'tables.html') or "{% extends 'base.html' %}" in source

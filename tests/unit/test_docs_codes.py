"""docs/codes.md is current, and the table of codes and the code agree. And: the check itself finds what it is for."""
import os
import re
import shutil

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))

import codes_doc

from ansible_collections.lifeboat.docker.plugins.module_utils.records import codes


def test_the_page_is_current():
    assert codes_doc.read(codes_doc.PAGE, TOP) == codes_doc.page(TOP)


def test_every_code_is_in_every_table_and_used():
    assert codes_doc.gaps(TOP) == []


def test_the_table_is_read_as_python_reads_it():
    read = {code: (severity, meaning) for dummy, rows in codes_doc.table(TOP) for code, severity, meaning, dummy2 in rows}
    assert read == {code: row[:2] for code, row in codes.CODES.items()}


def test_what_follows_is_read_as_python_reads_it():
    read = {code: marks for dummy, rows in codes_doc.table(TOP) for code, dummy2, dummy3, marks in rows}
    assert read == {code: [name for mark in row[2:] for name, value in vars(codes).items() if value is mark and name.isupper()]
                    for code, row in codes.CODES.items()}


def test_every_code_has_every_part():
    """What it means, what is safe, what to do, a command, and what follows from it."""
    sections = dict(re.findall(r'^### `([A-Z_]+)`\n(.*?)(?=^##|\Z)', codes_doc.page(TOP), re.M | re.S))
    assert set(sections) == set(codes.CODES) | {code for code, dummy in codes_doc.audit_codes(TOP)}
    for code, text in sections.items():
        for part in codes_doc.PARTS:
            assert len(re.findall(r'^- \*\*%s\.\*\* \S.{7,}\.$' % part, text, re.M)) == 1, (code, part)
        assert re.search(r'^```\n\S.*\n```$', text, re.M | re.S), code
        if code in codes.CODES:
            for mark, words in ((codes.LOSES_DATA, 'Loses data'), (codes.BLOCKS_START, 'Blocks the start')):
                assert '%s: %s' % (words, 'yes' if codes.has(code, mark) else 'no') in text, code


def test_commands_name_programs_or_are_ours():
    known = {'lifeboat', 'sudo', 'ansible-playbook', 'docker', 'podman', 'ddrescue', 'findmnt', 'lsblk', 'cat', 'grep', 'cp', 'dmesg', 'apt-get', 'systemctl',
             'rsync', 'mount', 'tar', 'readlink', 'namei', 'journalctl', 'df', 'python3', 'read'}
    commands = [line for text in list(codes_doc.TEXTS.values()) + list(codes_doc.AUDIT_TEXTS.values()) for line in text[-1].split('\n')]
    assert {line.split()[0] for line in commands} == known


def test_every_code_is_on_the_page_once():
    text = codes_doc.page(TOP)
    for code in list(codes.CODES) + [code for code, dummy in codes_doc.audit_codes(TOP)]:
        assert text.count('\n### `%s`\n' % code) == 1


@pytest.fixture(name='copy')
def a_copy(tmp_path):
    """A collection with nothing but what the check reads, and no gap."""
    for path in (codes_doc.TABLE, codes_doc.RULES):
        target = os.path.join(str(tmp_path), path)
        os.makedirs(os.path.dirname(target))
        shutil.copy(os.path.join(TOP, path), target)
    os.makedirs(os.path.join(str(tmp_path), 'docs'))
    write(tmp_path, 'plugins/all.py', ''.join("problem('%s', 'x', 'y')\n" % code for code in codes_doc.TEXTS))
    source = codes_doc.read(codes_doc.TABLE, TOP)
    for code in sorted(set(codes_doc.TEXTS) ^ set(codes.CODES)):
        source = source.replace("    'READ_ERROR'", "    '%s': (INFO, 'x'),\n    'READ_ERROR'" % code)
    write(tmp_path, codes_doc.TABLE, source)
    write(tmp_path, codes_doc.PAGE, codes_doc.page(str(tmp_path)))
    codes_doc.check(str(tmp_path))
    return tmp_path


def write(where, path, text):
    with open(os.path.join(str(where), path), 'w', encoding='utf-8') as out:
        out.write(text)


def reasons(where):
    with pytest.raises(codes_doc.Stale) as caught:
        codes_doc.check(str(where))
    return str(caught.value)


@pytest.mark.parametrize('line', [
    "problem('NO_SUCH_CODE', 'x', 'y')", "codes.problem('NO_SUCH_CODE', 'x', 'y')",
    "self._lack('READ_ERROR' if one else 'NO_SUCH_CODE', 'y')"])
def test_a_code_that_no_table_has_is_found(copy, line):
    write(copy, 'plugins/more.py', line + '\n')
    assert 'NO_SUCH_CODE is made in plugins/' in reasons(copy)


def test_a_code_that_nothing_uses_is_found(copy):
    path = 'plugins/all.py'
    write(copy, path, codes_doc.read(path, str(copy)).replace("problem('READ_ERROR', 'x', 'y')\n", ''))
    assert 'READ_ERROR is in' in reasons(copy)


def test_a_code_without_advice_is_found(copy):
    source = codes_doc.read(codes_doc.TABLE, str(copy))
    write(copy, codes_doc.TABLE, source.replace("    'READ_ERROR'", "    'NEW_CODE': (INFO, 'x'),\n    'READ_ERROR'"))
    assert 'NEW_CODE has no text' in reasons(copy)


def test_an_empty_part_is_found(copy, monkeypatch):
    monkeypatch.setitem(codes_doc.TEXTS, 'READ_ERROR', ('x', ' ', 'y'))
    assert 'A part of READ_ERROR is empty' in reasons(copy)


def test_an_unknown_audit_code_is_found(copy):
    write(copy, codes_doc.RULES, codes_doc.read(codes_doc.RULES, str(copy)) + '  - code: NEW_CODE\n    severity: info\n')
    assert 'NEW_CODE of' in reasons(copy)


def test_a_page_that_was_edited_is_found(copy):
    write(copy, codes_doc.PAGE, codes_doc.page(str(copy)) + '\n')
    assert 'is not current' in reasons(copy)

"""What psql would run out of a dump, and what a dump loses on the way: nothing."""
import random
import re

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.dump import sqltext
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.sqltext import Filter

DUMP = br"""--
-- PostgreSQL database dump
--

\restrict abc123
SET standard_conforming_strings = on;
\connect "shop"
\connect -reuse-previous=on "dbname='a b'"
\encoding SQL_ASCII
\connect -reuse-previous=on "dbname='o\'dd = b\\x""'"
CREATE FUNCTION "public"."f"() RETURNS "text"
    LANGUAGE "sql"
    AS $_$ select '\!' || "x$$y" \gexec
\! not run: it is quoted
$_$;
/* a comment \! /* in a comment */ \! */
ALTER TABLE "a\b" ALTER COLUMN "c" SET DEFAULT E'it''s \'\\';
COPY "public"."t" ("a", "b") FROM stdin;
1	\\! one\n
2	'
\.
COPY "public"."empty" ("a") FROM stdin;
\.
\unrestrict abc123
"""


def filtered(raw, size=1 << 20):
    out = []
    found = Filter(out.append)
    found.database = 'shop'
    for at in range(0, len(raw), size):
        found.take(raw[at:at + size])
    found.close()
    return b''.join(out), found


@pytest.mark.parametrize('size', [1, 2, 7, 64, 1 << 20])
def test_what_pg_dump_writes_passes_unchanged_and_is_counted(size):
    said, found = filtered(DUMP, size)
    assert said == DUMP and found.removed == 0
    assert found.rows == {('shop', 'public', 't'): 2, ('shop', 'public', 'empty'): 0}


@pytest.mark.parametrize('line', [
    br'\! touch /tmp/run', br'select 1 \! touch /tmp/run', br'\connect `touch /tmp/run`', br'\connect -reuse-previous=on "dbname=`x`"',
    br'\encoding `x`',
    br'\connect -reuse-previous=on "dbname=\'a\"', br'\i /etc/passwd', br'\copy t to program $$touch x$$', br"select 'a' \g |sh", br'\o |sh',
    b'select 1; -- x\n\\! y', br'$a $ \! x', br"U&'\0041'",
    br"e'\'' \! x", br"'' \! x", br'"a""b" \! x', b'/* \n */ \\! x', br'\restrict a b; \! x', b"\\connect x\r"])
def test_commands_to_psql_become_comments(line):
    said, found = filtered(b'SELECT 1;\n' + line + b'\nSELECT 2;\n')
    assert found.removed == 1 and said.startswith(b'SELECT 1;\n') and said.endswith(b'SELECT 2;\n')
    for each in said.split(b'\n'):
        assert b'\\' not in each, said


def test_a_literal_means_the_same_with_every_setting():
    """Where standard_conforming_strings is off, a backslash before a quote would keep the literal open."""
    said, found = filtered(b"COMMENT ON TABLE t IS 'C:\\dir\\';\nSELECT '\\'' \\! x ';\nSELECT 'two\nlines \\';\nSELECT 'plain';\n")
    assert found.removed == 0
    assert said == b"COMMENT ON TABLE t IS E'C:\\\\dir\\\\';\nSELECT E'\\\\'' \\\\! x ';\nSELECT E'two\nlines \\\\';\nSELECT 'plain';\n"


def test_a_program_that_ends_in_the_middle_leaves_nothing_open():
    said, found = filtered(b'COPY "a" ("b") FROM stdin;\n1\n2\nha')
    assert said == b'COPY "a" ("b") FROM stdin;\n1\n2\n\\.\n' and found.rows == {('shop', '', 'a'): 2}
    out = []
    found = Filter(out.append)
    found.take(b"SELECT 'half\n")
    found.close()
    found.take(b'\\! x\nSELECT 1;\n')
    found.close()
    assert found.removed == 1 and b''.join(out).endswith(b'\nSELECT 1;\n')


def test_a_line_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr('ansible_collections.lifeboat.docker.plugins.module_utils.dump.sqltext.MAX_HELD', 1000)
    found = Filter(lambda data: None)
    with pytest.raises(LifeboatError, match='longer than'):
        for dummy in range(100):
            found.take(b"'" + b'x' * 99 + b"'")


def test_rows_are_those_of_one_table_of_one_schema_of_one_database():
    """Two databases with a table of the same name, and names that are not easy to read."""
    out = []
    found = Filter(out.append)
    one = b'COPY "public"."t" ("n") FROM stdin;\n1\n2\n\\.\n'
    two = (b'COPY "public"."t" ("n") FROM stdin;\n1\n\\.\nCOPY "other"."t" ("n") FROM stdin;\n\\.\n'
           b'COPY "a""b"."c (d) FROM stdin;" ("n") FROM stdin;\n7\n\\.\nCOPY "public"."two\nlines" ("x") FROM stdin;\n\\\\! x\n\\.\n'
           b'COPY "public"."no columns"  FROM stdin;\n\n\n\\.\n'
           b'SET search_path = "old one", pg_catalog;\nCOPY t (n) FROM stdin;\n1\n2\n3\n\\.\n'
           b"SELECT pg_catalog.lo_open('1', 131072);\nSELECT pg_catalog.lo_open('2', 131072);\n")
    for found.database, raw in (('one', one), ('two', two)):
        found.take(raw)
        found.close()
    assert found.rows == {
        ('one', 'public', 't'): 2, ('two', 'public', 't'): 1, ('two', 'other', 't'): 0, ('two', 'a"b', 'c (d) FROM stdin;'): 1,
        ('two', 'public', 'two\nlines'): 1, ('two', 'public', 'no columns'): 2, ('two', 'old one', 't'): 3}
    assert found.large_objects == {'two': 2} and found.removed == 0 and b''.join(out) == one + two


@pytest.mark.parametrize('tail, whole', [
    (b'--\n-- PostgreSQL database dump complete\n--\n\n', True), (b'--\n-- PostgreSQL database cluster dump complete\n--\n\n', True),
    (b'--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n', True), (b'', False), (b'SELECT 1;\n', False),
    (b"SELECT '\n-- PostgreSQL database dump complete\n--\n", False), (b'COPY "t" ("a") FROM stdin;\n-- x dump complete\n--\n', False)])
def test_it_says_whether_the_program_came_to_its_end(tail, whole):
    found = Filter(lambda data: None)
    found.take(b'SELECT 1;\n' + tail)
    assert found.close() is whole


@pytest.mark.parametrize('size', [1, 7, 64, 3000, 4900])
def test_a_row_of_any_length_passes(monkeypatch, size):
    """A field of PostgreSQL may have a gigabyte: rows are not held until they are whole."""
    monkeypatch.setattr(sqltext, 'MAX_ROW', 50)
    monkeypatch.setattr(sqltext, 'MAX_HELD', 1000)
    raw = b'COPY "t" ("n") FROM stdin;\n1\n' + b'x' * 5000 + b'\n\\.x\n' + b'y' * 70 + b'\n\\.\n\\restrict a\n'
    said, found = filtered(raw, size)
    assert said == raw and found.rows == {('shop', '', 't'): 4}
    said, found = filtered(raw[:3000], size)
    assert said.endswith(b'x\n\\.\n') and found.rows == {('shop', '', 't'): 1}


def outside(raw, escapes):
    """Backslashes of SQL outside of quotes, one character at a time: as psql reads it, ESCAPES: standard_conforming_strings is off."""
    at, found = 0, []
    while at < len(raw):
        rest = raw[at:]
        quote = re.match(br"""(?:(?<![A-Za-z_0-9])[eE])?'|"|\$[a-z]*\$|--|/\*""", rest)
        if quote is None:
            if rest[:1] == b'\\':
                found.append(at)
            at += 1
            continue
        word = quote.group()
        at += len(word)
        if word == b'--':
            end = re.compile(br'\n').search(raw, at)
        elif word == b'/*':
            end = re.compile(br'\*/').search(raw, at)
        elif word[-1:] == b"'":
            pattern = br"(?:\\.|''|[^\\'])*'" if escapes or len(word) == 2 else br"(?:''|[^'])*'"
            end = re.compile(pattern, re.DOTALL).match(raw, at)
        else:
            end = re.compile(re.escape(word)).search(raw, at)
        at = end.end() if end else len(raw)
    return found


def test_random_texts_have_no_command_whatever_the_setting():
    words = [b"'", b'"', b'$$', b'$a$', b'--', b'/*', b'*/', b'\\', b'\n', b' ', b'x', b"E'", b';', b'a']
    for seed in range(4000):
        noise = random.Random(seed)
        said = filtered(b''.join(noise.choice(words) for dummy in range(noise.randrange(60))) + b'\n', noise.choice([1, 3, 1000]))[0]
        # nested comments are another matter; and what is removed stands in a comment
        if b'/*' in said or b'*/' in said:
            continue
        assert not outside(said, False) and not outside(said, True), (seed, said)

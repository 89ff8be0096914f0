"""What is said of a dump of PostgreSQL whose rows are not those that the server counts. The server and its programs are made up here."""
import re

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import pgcluster
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.kinds import postgresql
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.pgclient import Client
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.room import MAX_SAID

END = b'--\n-- PostgreSQL database dump complete\n--\n\n'
GLOBALS = b'--\n-- PostgreSQL database cluster dump complete\n--\n\n'


def block(schema, table, rows):
    return b'COPY "%b"."%b" ("n") FROM stdin;\n%b\\.\n' % (schema.encode(), table.encode(), b'1\n' * rows)


class Server(object):
    """A room with a server. `databases`: {name: {(schema, table, kind): (rows that it counts, rows that pg_dump writes)}}."""

    def __init__(self, databases):
        self.databases = databases
        self.written = []
        self.failing = set()            # words of queries that fail
        self.cut = set()                # sections that end without their last words
        self.status = {}                # section: exit status
        self.extra = b''                # what pg_dump writes beside
        self.extension = 'f'
        self.prepared = []
        self.said = []                  # queries
        self.objects = 0
        self.environments = []
        self.notes = []                 # lines of the log

    def out(self, data):
        self.written.append(data)

    def note(self, line):
        self.notes.append(line)

    def stream(self, argv, take, data=None, **environment):
        self.environments.append(environment)
        if argv[0] == 'psql':
            query = argv[argv.index('-c') + 1] if '-c' in argv else data.decode()
            self.said.append(query)
            if any(word in query for word in self.failing):
                return 1
            take(b''.join(b'%b\0' % str(value).encode() for value in self.answer(re.search(r"dbname='(\w+)'", ' '.join(argv)).group(1), query)))
            return 0
        section = next((each[10:] for each in argv if each.startswith('--section=')), 'globals')
        if section == 'globals':
            take(b'' if 'globals' in self.cut else GLOBALS)
        else:
            database = re.search(r"dbname='(\w+)'", ' '.join(argv)).group(1)
            one = re.search(r'-t "(.*?)"\."(.*?)"', ' '.join(argv))
            if section == 'data':
                for (schema, table, kind), (dummy, rows) in sorted(self.databases[database].items()):
                    if kind == 'r' and rows is not None and (one is None or one.groups() == (schema, table)):
                        take(block(schema, table, rows))
                take(self.extra)
            take(b'' if section in self.cut else END)
        return self.status.get(section if '-t' not in argv else 'table', 0)

    def answer(self, database, query):
        if query == pgcluster.DATABASES:
            return [each for name in sorted(self.databases) for each in (name, 't')]
        if query == pgcluster.PREPARED:
            return [each for gid in self.prepared for each in (gid, 'shop')]
        if query == pgcluster.LARGE_OBJECTS:
            return [self.objects]
        if query == pgcluster.TABLES:
            return [each for schema, table, kind in sorted(self.databases[database]) for each in (schema, table, kind, 'p', self.extension)]
        counts = {'"%s"."%s"' % key[:2]: rows[0] for key, rows in self.databases[database].items()}
        found = re.findall(r'select (\d+), count\(\*\) from only ("\w+"\."\w+");', query)
        return [each for number, place in found if counts[place] is not None for each in (number, counts[place])]


def written(server, count=True):
    writer = pgcluster.Writer(Client(server, lambda name: name, 'postgres'), count)
    assert writer.write()
    return writer


def table(counted, in_dump, name='t', kind='r', schema='public'):
    return {(schema, name, kind): (counted, in_dump)}


def both(one, other):
    return dict(list(one.items()) + list(other.items()))


def test_equal_rows_are_whole_and_named_by_database_and_schema():
    server = Server({'shop': both(table(2, 2), table(0, 0, schema='other')), 'stock': table(3, 3)})
    found = written(server)
    assert found.partial == [] and found.marks == []
    assert found.counts == {'shop.public.t': 2, 'shop.other.t': 0, 'stock.public.t': 3}
    # a role or a database may have set a time limit for itself
    assert len(server.environments) > 10
    assert all('-c statement_timeout=0 -c lock_timeout=0' in each['PGOPTIONS'] for each in server.environments)


@pytest.mark.parametrize('tables, words, mark', [
    (table(3, 2), 'shop.public.t has 2 rows in the dump, and the server counts 3', 'count_differs=1 in shop'),
    (table(0, 2), 'shop.public.t has 2 rows in the dump, and the server counts 0', 'count_differs=1 in shop'),
    (table(0, None), 'shop.public.t is not in the dump; the server counts 0 rows', 'count_differs=1 in shop'),
    (table(None, 2), 'the rows of shop.public.t could not be counted; the dump has 2', 'not_counted=1 in shop')])
def test_every_difference_makes_it_partial_by_name(tables, words, mark):
    """One database is right with the same number of rows in a table of the same name: sums over databases would not see it."""
    found = written(Server({'shop': tables, 'stock': table(2, 2)}))
    assert found.partial == [words] and found.marks == [mark]
    assert found.counts['shop.public.t'] == list(tables.values())[0][0]


@pytest.mark.parametrize('kind, words', [('p', ''), ('f', 'foreign tables'), ('m', 'materialized views')])
def test_what_has_no_rows_of_its_own_is_not_missing(kind, words):
    found = written(Server({'shop': both(table(5, None, 'parent', kind), table(5, 5))}))
    assert found.partial == [] and found.counts == {'shop.public.t': 5}
    assert [words in mark and 'shop.public.parent' in mark for mark in found.marks] == ([True] if words else [])


def test_tables_of_extensions_may_be_in_it_in_part():
    server = Server({'shop': table(5, 2)})
    server.extension = 't'
    found = written(server)
    assert found.partial == [] and 'extensions' in found.marks[0] and 'shop.public.t' in found.marks[0]


@pytest.mark.parametrize('part', ['globals', 'pre-data', 'data', 'post-data'])
@pytest.mark.parametrize('how', ['status', 'cut'])
def test_a_program_that_fails_or_ends_early_makes_it_partial(part, how):
    server = Server({'shop': table(2, 2)})
    if how == 'cut':
        server.cut.add(part)
    else:
        server.status[part] = 1
    assert len(written(server).partial) == 1 and ('status 1' if how == 'status' else 'before its last words') in server.notes[0]


def test_a_table_is_dumped_again_alone_and_counted_once():
    server = Server({'shop': both(table(2, 2), table(None, 1, 'bad'))})
    server.status['data'] = 1
    found = written(server)
    text = b''.join(server.written)
    assert text.count(b'TRUNCATE ONLY "public"."bad";') == 1 and b'TRUNCATE ONLY "public"."t"' not in text
    assert found.filter.rows == {('shop', 'public', 't'): 2, ('shop', 'public', 'bad'): 1}
    assert found.partial == [
        'the table shop.public.bad is damaged, and rows are missing in the dump', 'the database shop could not be dumped as a whole',
        'the rows of shop.public.bad could not be counted; the dump has 1']


def test_a_table_that_was_only_not_reached_is_not_called_damaged():
    """pg_dump ended at another one."""
    server = Server({'shop': both(table(2, 2), table(3, 3, 'late'))})
    server.status['data'] = 1
    first = server.stream

    def cut(argv, take, data=None, **environment):
        return first(argv, (lambda raw: None) if '--section=data' in argv and '-t' not in argv else take, data, **environment)
    server.stream = cut
    found = written(server)
    assert found.partial == ['the database shop could not be dumped as a whole']
    assert found.filter.rows == {('shop', 'public', 't'): 2, ('shop', 'public', 'late'): 3}
    assert not any('zero_damaged_pages' in each['PGOPTIONS'] for each in server.environments)


def test_rows_as_inserts_are_no_silent_success():
    server = Server({'shop': table(2, None)})
    server.extra = b'INSERT INTO "public"."t" VALUES (1);\nINSERT INTO "public"."t" VALUES (2);\n'
    assert written(server).partial == ['shop.public.t is not in the dump; the server counts 2 rows']


def test_a_table_that_the_server_does_not_list_is_named():
    server = Server({'shop': table(2, 2)})
    server.extra = block('public', 'more', 1)
    assert written(server).partial == ['shop.public.more is in the dump, and the server does not list it']


def test_large_objects_are_compared():
    server = Server({'shop': {}})
    server.objects = 2
    assert written(server).partial == ['the dump has 0 large objects of shop, and the server counts 2']
    server.extra = b"SELECT pg_catalog.lo_open('1', 131072);\nSELECT pg_catalog.lo_open('2', 131072);\n"
    assert written(server).partial == []
    server.failing = {'pg_largeobject'}
    assert written(server).partial == ['the dump has 2 large objects of shop, and the server counts not']


@pytest.mark.parametrize('word, words', [
    ('pg_class', 'the tables of shop could not be listed'), ('pg_prepared', 'prepared transactions is not known'),
    ('count(*) from only', 'could not be counted')])
def test_a_query_that_fails_is_not_an_empty_answer(word, words):
    server = Server({'shop': table(2, 2)})
    server.failing = {word}
    assert [words in each for each in written(server).partial] == [True]


def test_an_empty_list_of_databases_is_no_dump():
    for server in (Server({}), Server({'shop': {}})):
        server.failing = {'pg_database'} if server.databases else set()
        assert not pgcluster.Writer(Client(server, lambda name: name, 'postgres'), True).write()
        assert server.written == []


def test_a_name_that_psql_would_run_is_not_written():
    """Without its connect command its tables would be loaded into the database before."""
    server = Server({'shop': {}, 'a`x`': table(1, 1)})
    assert written(server).partial == ['the database "a`x`" has a name that no dump may have, and is not in it']


def test_prepared_transactions_are_named_and_hold_nothing_up():
    server = Server({'shop': {}})
    server.prepared = ["it's"]
    assert '1 prepared transactions were neither' in written(server).partial[0]
    assert "rollback prepared 'it''s'" in server.said


def test_without_counting_it_says_so():
    server = Server({'shop': table(3, 2)})
    found = written(server, False)
    assert found.partial == [] and found.counts == {} and found.marks == ['rows were not counted in the server']
    assert not any('from only' in query for query in server.said)


def test_names_may_have_any_character_and_answers_any_length():
    class Said(object):
        def __init__(self, raw):
            self.raw = raw

        def stream(self, argv, take, data=None, **environment):
            take(self.raw)
            return 0

    def asked(raw, columns):
        return Client(Said(raw), lambda name: name, 'u').ask('d', 'q', columns)
    assert asked(b'a\nb\0c\td\0' b'e\xff\0f\0', 2) == [['a\nb', 'c\td'], ['e\udcff', 'f']]
    assert asked(b'', 2) == [] and asked(b'a\0', 2) is None
    assert asked(b'x' * (MAX_SAID + 1), 1) is None


def test_whether_it_answers_is_asked_under_a_name():
    """Without one, pg_isready looks the owner of the data up in the image's passwd; where he is not in it, it would never answer."""
    class Room(object):
        def program(self, names, folders=()):
            return names[0]

        def start(self, argv):
            return None

        def ready(self, server, probe):
            probe()

        def call(self, argv, data=None):
            self.argv = argv
            return 0, b''

        def stream(self, argv, take, data=None, **environment):
            take(b'owner\0')
            return 0
    room = Room()
    assert postgresql.Server(room, '/data', '15').start('owner').user == 'owner'
    assert room.argv[0] == 'pg_isready' and '-U' in room.argv

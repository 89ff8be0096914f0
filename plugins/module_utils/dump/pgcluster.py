"""Everything of a running PostgreSQL as SQL: roles, then each database, so that one that is damaged does not cost the rest. What cannot be
dumped, and every table whose rows in the dump are not those that the server counts, is named."""
from typing import Dict, List, NamedTuple, Optional, Tuple

from .compare import Key, compare, few, label
from .pgclient import TIMES, Client, connection, place
from .sqltext import Filter

DAMAGED = TIMES + ' -c zero_damaged_pages=on -c ignore_checksum_failure=on'
DATABASES = "select datname, datallowconn from pg_catalog.pg_database where datname <> 'template0' order by datname"
PREPARED = 'select gid, database from pg_catalog.pg_prepared_xacts order by gid'
TABLES = '''select n.nspname, c.relname, c.relkind, c.relpersistence, exists (
    select 1 from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f', 'm') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg!_t%' escape '!'
order by 1, 2'''
LARGE_OBJECTS = 'select count(*) from pg_catalog.pg_largeobject_metadata'
FOREIGN, MATERIALIZED = 'f', 'm'
# a partitioned table has no rows of its own: they are in its partitions, which are tables
PLAIN = 'r'


class Table(NamedTuple):
    """A row of TABLES. `extension`: its extension makes it, and says which of its rows are in a dump."""
    schema: str
    name: str
    kind: str
    persistence: str
    extension: bool


class Writer(object):
    """write() once; then `counts`, `marks` and `partial` are what target.Kind wants. COUNT False: nothing is counted in the server."""

    def __init__(self, client: Client, count: bool) -> None:
        self.client = client
        self.room = client.room
        self.counts: Dict[str, Optional[int]] = {}
        self.marks: List[str] = []
        self.partial: List[str] = []
        self.filter = Filter(self.room.out)
        self._count = count

    def write(self) -> bool:
        """Write all -> False if there is no database to be seen."""
        found = self.client.ask('template1', DATABASES, 2)
        if not found:
            return False
        self._undecided()
        if self._run('pg_dumpall', '--globals-only'):
            self.partial.append('roles and tablespaces could not be dumped as a whole')
        for name, open_ in found:
            if '`' in name:             # psql may run what stands between two of them
                self.partial.append('the database %s has a name that no dump may have, and is not in it' % label((name,)))
            elif open_ == 't':
                self._database(name)
            else:
                self.partial.append('the database %s allows no connection and is not in the dump' % label((name,)))
        if not self._count:
            self.marks.append('rows were not counted in the server')
        if self.filter.removed:
            self.partial.append('%d lines that were commands to psql were made comments' % self.filter.removed)
        return True

    def _undecided(self) -> None:
        """Prepared transactions hold locks that a dump would wait for; none shows their rows before they are committed. It is only the view that
        is told to forget them."""
        found = self.client.ask('template1', PREPARED, 2)
        if found is None:
            self.partial.append('whether there are prepared transactions is not known')
        for gid, database in found or []:
            self.client.ask(database, "rollback prepared '%s'" % gid.replace("'", "''"))
        if found:
            self.partial.append('%d prepared transactions were neither committed nor rolled back, and what they changed is not in the dump: %s' % (
                len(found), ', '.join(few([row[0] for row in found]))))

    def _database(self, name: str) -> None:
        tables = self._tables(name)
        if name == 'template1' and tables is not None and not tables:
            return
        create = name not in ('postgres', 'template1')      # every cluster has them
        if not create:
            self.room.out(b'\\connect "%b"\n\n' % name.encode('ascii'))
        self.filter.database = name
        plain = [table for table in tables or [] if table.kind == PLAIN]
        lost = self._run('pg_dump', '--section=pre-data', *(['--create'] if create else []) + ['-d', connection(name)])
        if self._run('pg_dump', '--section=data', '-d', connection(name)):
            lost += 1
            self._by_table(name, plain)
        lost += self._run('pg_dump', '--section=post-data', '-d', connection(name))
        if lost:
            self.partial.append('the database %s could not be dumped as a whole' % label((name,)))
        if tables is None:
            self.partial.append('the tables of %s could not be listed, so nothing of it was compared' % label((name,)))
            return
        self._say_what_has_no_rows(name, tables)
        if self._count:
            self._compare(name, plain)

    def _by_table(self, name: str, tables: List[Table]) -> None:
        """Each table that is not whole in the dump once more; damaged pages are passed over."""
        counted = self.client.count(name, [(table.schema, table.name) for table in tables])
        for (schema, table), rows in sorted(counted.items()):
            key = (name, schema, table)
            if rows is not None and self.filter.rows.get(key) == rows:
                continue
            options = ('--section=data', '-t', place(schema, table), '-d', connection(name))
            self._empty(key)
            if rows is not None and not self._run('pg_dump', *options):
                continue
            self._empty(key)
            self.partial.append('the table %s is damaged, and rows are missing in the dump' % label(key))
            if self._run('pg_dump', *options, settings=DAMAGED):
                self.partial.append('the table %s is not whole in the dump' % label(key))

    def _empty(self, key: Tuple[str, str, str]) -> None:
        """What is in the dump of a table already is thrown away when it is loaded."""
        if key in self.filter.rows:
            self.room.out(('\nTRUNCATE ONLY %s;\n' % place(*key[1:])).encode('utf-8', 'surrogateescape'))
            del self.filter.rows[key]

    def _compare(self, name: str, tables: List[Table]) -> None:
        own = [(table.schema, table.name) for table in tables if not table.extension]
        others = {(name, table.schema, table.name) for table in tables if table.extension}
        counted: Dict[Key, Optional[int]] = {(name,) + key: rows for key, rows in self.client.count(name, own).items()}
        found = compare(counted, {key: rows for key, rows in self.filter.rows.items() if key[0] == name}, others)
        self.counts.update(found.counts)
        self.marks += ['%s in %s' % (mark, label((name,))) for mark in found.marks]
        self.partial += found.partial
        objects = self.client.ask(name, LARGE_OBJECTS)
        written = self.filter.large_objects.get(name, 0)
        if not objects or objects[0] != [str(written)]:
            self.partial.append('the dump has %d large objects of %s, and the server counts %s' % (
                written, label((name,)), objects[0][0] if objects else 'not'))

    def _say_what_has_no_rows(self, name: str, tables: List[Table]) -> None:
        for what, found in (
                ('unlogged tables, which are empty after a crash: %s', [table for table in tables if table.persistence == 'u' and table.kind == PLAIN]),
                ('foreign tables, whose rows are elsewhere: %s', [table for table in tables if table.kind == FOREIGN]),
                ('materialized views, which are computed when the dump is loaded: %s', [table for table in tables if table.kind == MATERIALIZED]),
                ('tables of extensions, of which a dump has what the extension allows: %s', [
                    table for table in tables if table.extension and table.kind == PLAIN])):
            if found:
                self.marks.append(what % ', '.join(few([label((name, table.schema, table.name)) for table in found])))

    def _tables(self, name: str) -> Optional[List[Table]]:
        rows = self.client.ask(name, TABLES, 5)
        return None if rows is None else [Table(row[0], row[1], row[2], row[3], row[4] == 't') for row in rows]

    def _run(self, program: str, *options: str, settings: str = TIMES) -> int:
        """1 if the program failed, or ended before its last words."""
        argv = self.client.argv(program, '--quote-all-identifiers', *options)
        status = self.room.stream(argv, self.filter.take, None, PGOPTIONS=settings)
        whole = self.filter.close()
        if status or not whole:
            self.room.note('%s ended with status %d%s' % (' '.join((program,) + options[:1]), status, '' if whole else ', before its last words'))
        return int(status != 0 or not whole)

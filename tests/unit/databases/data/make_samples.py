"""Make the samples in this folder with the real programs: each is started in a temporary folder on loopback or a
unix socket, fed a little, and stopped in order (`clean`) or killed (`killed`). Run as root on Debian 12 with

    postgresql-15 mariadb-server redis-server sqlite3 etcd-server rabbitmq-server prometheus slapd influxdb
    clickhouse-server zookeeper git db5.3-util liblucene8-java libh2-java python3-plyvel python3-lmdb openssl

Usage: make_samples.py [NAME ...]     (default: all; programs that are missing are reported and make the exit status 1)

Of every file only the first bytes are kept (LIMITS), of large folders only some files: what recognition reads,
as the programs wrote it. The tests read the tar files and need none of the programs.
"""
import glob
import io
import json
import lzma
import os
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
# bytes kept of a file whose path matches; the first match counts
LIMITS = ((r'\.(key|pem|p12|jks)$|(^|/)id_', 48), (r'(^|/)ib_logfile0$', 12288), (r'(^|/)ibdata1$', 4096), (r'member/snap/db$', 262144),
          (r'(^|/)data\.mdb$', 65536), (r'\.(db|sqlite3?|bolt)$', 65536), (r'', 4096))
MAX_FILES = 120                         # of one folder


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options).stdout


def as_user(name):
    user = pwd.getpwnam(name)

    def become():
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    return become


def give(path, name):
    run('chown', '-R', name + ':', path)


class Process(object):
    """A server that is ended by its own pid, whatever happens."""

    def __init__(self, *command, **options):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, **options)

    def __enter__(self):
        return self

    def wait_for(self, what, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                if what():
                    return
            except Exception:
                pass
            time.sleep(0.2)
        self.log.seek(0)
        raise RuntimeError('%s did not get ready:\n%s' % (self.process.args[0], self.log.read()[-3000:].decode()))

    def stop(self, how=signal.SIGTERM, seconds=60):
        self.process.send_signal(how)
        self.process.wait(seconds)

    def __exit__(self, *dummy):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def http(url, data=None):
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=5) as answer:
        return answer.read()


def pack(name, folder):
    """FOLDER as NAME.tar.xz, cut as LIMITS say. Modes and times are fixed, so that the same content gives the same file."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode='w', format=tarfile.PAX_FORMAT) as tar:
        for root, folders, files in os.walk(folder):
            folders.sort()
            here = os.path.relpath(root, folder)
            for one in folders + sorted(files)[:MAX_FILES]:
                path = os.path.join(root, one)
                member = tarfile.TarInfo(os.path.normpath(os.path.join(here, one)))
                member.mtime = 1700000000
                if os.path.islink(path) or not (os.path.isdir(path) or os.path.isfile(path)):
                    continue
                if os.path.isdir(path):
                    member.type, member.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(member)
                    continue
                limit = [size for pattern, size in LIMITS if re.search(pattern, member.name)][0]
                with open(path, 'rb') as stream:
                    content = stream.read(limit)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    with open(os.path.join(HERE, name + '.tar.xz'), 'wb') as out:
        out.write(lzma.compress(raw.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    print('%s: %d bytes' % (name, os.path.getsize(os.path.join(HERE, name + '.tar.xz'))))


# -- one function for each sample ------------------------------------------------------------------------------------

def postgresql(work):
    binaries = sorted(glob.glob('/usr/lib/postgresql/*/bin'))[-1]
    data = os.path.join(work, 'data')
    give(work, 'postgres')
    become = as_user('postgres')
    run(binaries + '/initdb', '-A', 'trust', '-D', data, preexec_fn=become)

    def start():
        run(binaries + '/pg_ctl', '-w', '-D', data, '-l', work + '/log', '-o', "-h '' -k " + work, 'start', preexec_fn=become)

    def sql(text):
        run(binaries + '/psql', '-h', work, '-c', text, 'postgres', preexec_fn=become)
    start()
    sql('create table orders (id int); insert into orders select generate_series(1, 1000)')
    run(binaries + '/pg_ctl', '-w', '-D', data, '-m', 'fast', 'stop', preexec_fn=become)
    pack_postgresql('postgresql-clean', data, work)
    start()
    sql('insert into orders select generate_series(1, 1000)')
    with open(data + '/postmaster.pid') as stream:
        os.kill(int(stream.readline()), signal.SIGKILL)
    time.sleep(1)
    pack_postgresql('postgresql-killed', data, work)


def pack_postgresql(name, data, work):
    """Without the catalogue's hundreds of files."""
    slim = os.path.join(work, 'slim')
    kept = ('base', 'global', 'pg_wal', 'pg_control', 'PG_VERSION', 'postmaster.pid', 'postgresql.conf', 'pg_xact')
    shutil.copytree(data, slim, ignore=lambda folder, names: [one for one in names if one not in kept
                                                              and (folder == data or not one.endswith(('0', '5')))])
    pack(name, slim)
    shutil.rmtree(slim)


def mariadb(work):
    data = os.path.join(work, 'data')
    give(work, 'mysql')
    run('mariadb-install-db', '--no-defaults', '--user=mysql', '--datadir=' + data, '--skip-test-db')
    arguments = ['/usr/sbin/mariadbd', '--no-defaults', '--user=mysql', '--datadir=' + data, '--skip-networking',
                 '--socket=' + work + '/s', '--pid-file=' + work + '/pid', '--innodb-log-file-size=4M']

    def sql(text):
        run('mariadb', '--no-defaults', '-S', work + '/s', '-e', text)
    with Process(*arguments) as server:
        server.wait_for(lambda: sql('select 1') is None)
        run('mariadb-upgrade', '--no-defaults', '-S', work + '/s', '--force')
        sql('create database shop; create table shop.orders (id int) engine=innodb; insert into shop.orders values (1)')
        server.stop()
    pack_mariadb('mariadb-clean', data, work)
    with Process(*arguments) as server:
        server.wait_for(lambda: sql('select 1') is None)
        sql('insert into shop.orders select seq from shop.seq_1_to_5000')
        server.stop(signal.SIGKILL)
    pack_mariadb('mariadb-killed', data, work)


def pack_mariadb(name, data, work):
    slim = os.path.join(work, 'slim')
    shutil.copytree(data, slim, ignore=lambda folder, names: names[6:] if folder != data else [])
    pack(name, slim)
    shutil.rmtree(slim)


def redis(work):
    arguments = ['redis-server', '--port', '0', '--unixsocket', work + '/s', '--dir']
    for name, options, commands in (('redis-dump', [], [('set', 'key', 'value'), ('save',)]),
                                    ('redis-empty', [], [('save',)]),
                                    ('redis-aof', ['--appendonly', 'yes'], [('set', 'key', 'value')])):
        data = os.path.join(work, name)
        os.mkdir(data)
        with Process(*(arguments + [data] + options)) as server:
            server.wait_for(lambda: b'PONG' in run('redis-cli', '-s', work + '/s', 'ping'))
            for command in commands:
                run('redis-cli', '-s', work + '/s', *command)
            server.stop()
        pack(name, data)


def sqlite(work):
    """A plain file, one with commits that are only in its write-ahead log, one with a hot journal, an empty one."""
    data = os.path.join(work, 'data')
    os.mkdir(data)
    code = ("import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); {0}; "
            "os.kill(os.getpid(), 9)")
    for name, body in (('plain.db', "db.execute('create table t (a)'); db.execute('insert into t values (1)'); db.close()"),
                       ('wal', "db.execute('pragma journal_mode=wal'); db.execute('create table t (a)'); "
                               "db.execute('insert into t values (1)')"),
                       ('hot.sqlite', "db.execute('create table t (a)'); db.execute('pragma cache_size=1'); db.execute('begin'); "
                                      "[db.execute('insert into t values (?)', ('x' * 3000,)) for n in range(40)]"),
                       ('empty.db', "db.execute('pragma user_version=1'); db.close()")):
        subprocess.run([sys.executable, '-c', code.format(body), os.path.join(data, name)], check=False)
    assert os.path.getsize(data + '/wal-wal') and os.path.getsize(data + '/hot.sqlite-journal'), os.listdir(data)
    pack('sqlite', data)
    print('  sqlite', sqlite3.sqlite_version)


def etcd(work):
    peer, client = free_port(), free_port()
    data = os.path.join(work, 'default.etcd')
    with Process('etcd', '--data-dir', data, '--listen-client-urls', 'http://127.0.0.1:%d' % client,
                 '--advertise-client-urls', 'http://127.0.0.1:%d' % client,
                 '--listen-peer-urls', 'http://127.0.0.1:%d' % peer,
                 '--initial-advertise-peer-urls', 'http://127.0.0.1:%d' % peer,
                 '--initial-cluster', 'default=http://127.0.0.1:%d' % peer) as server:
        base = 'http://127.0.0.1:%d' % client
        server.wait_for(lambda: json.loads(http(base + '/health'))['health'] == 'true')
        http(base + '/v3/kv/put', json.dumps({'key': 'Zm9v', 'value': 'YmFy'}).encode())
        time.sleep(5)
        server.stop()
    pack('etcd', work)


def rabbitmq(work):
    epmd = free_port()
    give(work, 'rabbitmq')
    with open(work + '/cookie', 'w') as stream:
        stream.write('LIFEBOATSAMPLES')
    os.chmod(work + '/cookie', 0o400)
    give(work, 'rabbitmq')
    environment = dict(os.environ, HOME=work, RABBITMQ_MNESIA_BASE=work + '/mnesia', RABBITMQ_LOG_BASE=work + '/log',
                       RABBITMQ_NODENAME='sample@localhost', ERL_EPMD_PORT=str(epmd), ERL_EPMD_ADDRESS='127.0.0.1',
                       RABBITMQ_NODE_IP_ADDRESS='127.0.0.1', RABBITMQ_NODE_PORT=str(free_port()),
                       RABBITMQ_DIST_PORT=str(free_port()), RABBITMQ_CONFIG_FILE=work + '/none',
                       RABBITMQ_ENABLED_PLUGINS_FILE=work + '/plugins', RABBITMQ_PID_FILE=work + '/pid')
    os.rename(work + '/cookie', work + '/.erlang.cookie')
    script = sorted(glob.glob('/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server'))[-1]
    control = os.path.dirname(script) + '/rabbitmqctl'
    become = as_user('rabbitmq')
    data = work + '/mnesia/sample@localhost'

    def ready():
        run(control, '-n', 'sample@localhost', 'await_startup', '--timeout', '5', env=environment, preexec_fn=become)
        return os.path.exists(data + '/schema.DAT')
    try:
        for name, how in (('rabbitmq-clean', signal.SIGTERM), ('rabbitmq-killed', signal.SIGKILL)):
            with Process(script, env=environment, preexec_fn=become) as server:
                server.wait_for(ready, 120)
                run(control, '-n', 'sample@localhost', 'add_vhost', 'shop-' + name, env=environment, preexec_fn=become)
                if how == signal.SIGTERM:
                    run(control, '-n', 'sample@localhost', 'stop', env=environment, preexec_fn=become)
                    server.process.wait(60)
                else:
                    pid = int(run(control, '-q', '-n', 'sample@localhost', 'eval', 'list_to_integer(os:getpid()).',
                                  env=environment, preexec_fn=become))
                    os.kill(pid, signal.SIGKILL)
                    time.sleep(1)
            pack(name, data)
    finally:
        if os.path.exists(work + '/pid'):
            with open(work + '/pid') as stream:
                pid = int(stream.read())
            if os.path.exists('/proc/%d' % pid):
                os.kill(pid, signal.SIGKILL)
                time.sleep(1)
        subprocess.run(['epmd', '-port', str(epmd), '-kill'], env=environment, check=False)


def prometheus(work):
    port = free_port()
    with open(work + '/p.yml', 'w') as stream:
        stream.write("scrape_configs: [{job_name: self, scrape_interval: 1s, static_configs: [{targets: ['127.0.0.1:%d']}]}]\n"
                     % port)
    data = os.path.join(work, 'data')
    with Process('prometheus', '--config.file', work + '/p.yml', '--storage.tsdb.path', data,
                 '--web.listen-address', '127.0.0.1:%d' % port) as server:
        server.wait_for(lambda: http('http://127.0.0.1:%d/-/ready' % port))
        server.wait_for(lambda: os.path.getsize(data + '/wal/00000000') > 0)
        server.stop()
    pack('prometheus-young', data)
    with open(work + '/m', 'w') as stream:
        stream.write('# TYPE m gauge\n' + ''.join('m %d %d\n' % (n, 1700000000 + 60 * n) for n in range(50)) + '# EOF\n')
    run('promtool', 'tsdb', 'create-blocks-from', 'openmetrics', work + '/m', data)
    pack('prometheus-blocks', data)


def slapd(work):
    data = os.path.join(work, 'data')
    os.mkdir(data)
    with open(work + '/slapd.conf', 'w') as stream:
        stream.write('include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n'
                     'database mdb\nmaxsize 1048576\nsuffix "dc=example"\ndirectory %s\n' % data)
    with open(work + '/x.ldif', 'w') as stream:
        stream.write('dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n')
    run('slapadd', '-f', work + '/slapd.conf', '-l', work + '/x.ldif')
    pack('openldap', data)


def git(work):
    environment = dict(os.environ, GIT_AUTHOR_NAME='a', GIT_AUTHOR_EMAIL='a@example.org', GIT_COMMITTER_NAME='a',
                       GIT_COMMITTER_EMAIL='a@example.org', GIT_CONFIG_NOSYSTEM='1', HOME=work)
    data = os.path.join(work, 'data')
    os.mkdir(data)
    run('git', 'init', '-q', 'tree', cwd=data, env=environment)
    with open(data + '/tree/file', 'w') as stream:
        stream.write('text\n')
    run('git', 'add', 'file', cwd=data + '/tree', env=environment)
    run('git', 'commit', '-q', '-m', 'first', cwd=data + '/tree', env=environment)
    run('git', 'clone', '-q', '--bare', 'tree', 'bare.git', cwd=data, env=environment)
    run('git', 'init', '-q', '--bare', 'empty.git', cwd=data, env=environment)
    shutil.rmtree(data + '/tree/.git/hooks')
    pack('git', data)


def influxdb(work):
    port = free_port()
    data = os.path.join(work, 'data')
    with open(work + '/c', 'w') as stream:
        stream.write('reporting-disabled = true\nbind-address = "127.0.0.1:%d"\n[meta]\ndir = "%s/meta"\n[data]\n'
                     'dir = "%s/data"\nwal-dir = "%s/wal"\ncache-snapshot-write-cold-duration = "1s"\n[http]\n'
                     'bind-address = "127.0.0.1:%d"\n' % (free_port(), data, data, data, port))
    with Process('influxd', 'run', '-config', work + '/c') as server:
        base = 'http://127.0.0.1:%d' % port
        server.wait_for(lambda: http(base + '/ping') is not None)
        http(base + '/query', b'q=CREATE+DATABASE+shop')
        http(base + '/write?db=shop', b'orders,shop=a value=1\n')
        time.sleep(5)
        server.stop()
    pack('influxdb', data)


def clickhouse(work):
    port = free_port()
    data = os.path.join(work, 'data')
    os.mkdir(data)
    with open(work + '/users.xml', 'w') as stream:
        stream.write('<yandex><profiles><default/></profiles><users><default><password></password><networks>'
                     '<ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users>'
                     '<quotas><default/></quotas></yandex>')
    with open(work + '/c.xml', 'w') as stream:
        stream.write('<yandex><logger><level>error</level><log>{0}/log</log><errorlog>{0}/err</errorlog></logger>'
                     '<http_port>{1}</http_port><tcp_port>{2}</tcp_port><listen_host>127.0.0.1</listen_host>'
                     '<path>{3}/</path><tmp_path>{3}/tmp/</tmp_path><users_config>{0}/users.xml</users_config>'
                     '<mark_cache_size>1048576</mark_cache_size><default_profile>default</default_profile>'
                     '<default_database>default</default_database></yandex>'.format(work, port, free_port(), data))
    give(work, 'clickhouse')
    for name, how in (('clickhouse-clean', signal.SIGTERM), ('clickhouse-killed', signal.SIGKILL)):
        with Process('clickhouse-server', '--config-file=' + work + '/c.xml', preexec_fn=as_user('clickhouse')) as server:
            base = 'http://127.0.0.1:%d/' % port
            server.wait_for(lambda base=base: http(base) is not None)
            http(base, b'create table if not exists orders (d Date, id UInt32) engine = MergeTree(d, id, 8192)')
            http(base, b"insert into orders values ('2024-01-01', 1)")
            server.stop(how)
        pack(name, data)


def zookeeper(work):
    jars = ':'.join(['/usr/share/java/zookeeper.jar'] + glob.glob('/usr/share/java/zookeeper-jute.jar')
                    + glob.glob('/usr/share/java/netty*.jar') + glob.glob('/usr/share/java/slf4j-*.jar')
                    + glob.glob('/usr/share/java/snappy-java.jar') + glob.glob('/usr/share/java/metrics*.jar'))
    port = free_port()
    data = os.path.join(work, 'data')
    with open(work + '/zoo.cfg', 'w') as stream:
        stream.write('dataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\ntickTime=2000\n'
                     'preAllocSize=16\n' % (data, port))

    def alive():
        with socket.create_connection(('127.0.0.1', port), 2):
            return True
    with Process('java', '-cp', jars, 'org.apache.zookeeper.server.quorum.QuorumPeerMain', work + '/zoo.cfg') as server:
        server.wait_for(alive)
        subprocess.run(['java', '-cp', jars + ':/usr/share/java/commons-cli.jar:/usr/share/java/jline2.jar',
                        'org.apache.zookeeper.ZooKeeperMain', '-server', '127.0.0.1:%d' % port, 'create', '/shop', 'x'],
                       timeout=60, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.stop()
    pack('zookeeper', data)


def lucene(work):
    jars = ':'.join(glob.glob('/usr/share/java/lucene-core-8*.jar'))
    with open(work + '/Sample.java', 'w') as stream:
        stream.write("""
import java.nio.file.Paths;
import org.apache.lucene.analysis.standard.StandardAnalyzer;
import org.apache.lucene.document.*;
import org.apache.lucene.index.*;
import org.apache.lucene.store.FSDirectory;
public class Sample {
  public static void main(String[] a) throws Exception {
    try (IndexWriter w = new IndexWriter(FSDirectory.open(Paths.get(a[0])), new IndexWriterConfig(new StandardAnalyzer()))) {
      Document d = new Document(); d.add(new StringField("id", "1", Field.Store.YES)); w.addDocument(d);
    }
  }
}
""")
    run('javac', '-cp', jars, 'Sample.java', cwd=work)
    run('java', '-cp', jars + ':' + work, 'Sample', work + '/data')
    pack('lucene', work + '/data')


def h2(work):
    jar = glob.glob('/usr/share/java/h2.jar')[0]
    run('java', '-cp', jar, 'org.h2.tools.Shell', '-url', 'jdbc:h2:%s/data/app' % work, '-user', 'sa', '-password', '',
        '-sql', 'create table t (a int); insert into t values (1)')
    pack('h2', work + '/data')


def leveldb(work):
    run('/usr/bin/python3', '-c', 'import plyvel, sys; db = plyvel.DB(sys.argv[1], create_if_missing=True); '
        'db.put(b"a", b"b"); db.close()', work + '/data')
    pack('leveldb', work + '/data')


def lmdb(work):
    run('/usr/bin/python3', '-c', 'import lmdb, sys; db = lmdb.open(sys.argv[1], map_size=1048576); t = db.begin(write=True); '
        't.put(b"a", b"b"); t.commit(); db.close()', work + '/data')
    pack('lmdb', work + '/data')


def berkeleydb(work):
    os.mkdir(work + '/data')
    run('db5.3_load', '-T', '-t', 'btree', work + '/data/users.bdb', input=b'a\nb\n')
    pack('berkeleydb', work + '/data')


def keys(work):
    """Private keys in the forms that programs write, a public one, and a certificate."""
    data = os.path.join(work, 'data')
    os.mkdir(data)
    run('openssl', 'req', '-x509', '-newkey', 'rsa:1024', '-nodes', '-keyout', data + '/server.key', '-out', data + '/server.pem',
        '-subj', '/CN=sample')
    run('openssl', 'pkcs12', '-export', '-inkey', data + '/server.key', '-in', data + '/server.pem', '-passout', 'pass:sample',
        '-out', data + '/server.p12')
    run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'sample', '-f', data + '/id_ed25519')
    run('keytool', '-genkeypair', '-alias', 'a', '-keyalg', 'RSA', '-keysize', '1024', '-storetype', 'JKS', '-dname', 'CN=sample',
        '-storepass', 'sample1', '-keypass', 'sample1', '-keystore', data + '/app.jks')
    pack('keys', data)


SAMPLES = (postgresql, mariadb, redis, sqlite, etcd, rabbitmq, prometheus, slapd, git, influxdb, clickhouse, zookeeper, lucene,
           h2, leveldb, lmdb, berkeleydb, keys)


def main(wanted):
    failed = []
    for sample in SAMPLES:
        if wanted and sample.__name__ not in wanted:
            continue
        work = tempfile.mkdtemp(prefix='lb-')
        os.chmod(work, 0o755)
        try:
            sample(work)
        except Exception as exc:
            output = getattr(exc, 'stdout', None) or getattr(exc, 'output', None) or b''
            print('%s: %s\n%s' % (sample.__name__, exc, output.decode('utf-8', 'replace')[-2000:]), file=sys.stderr)
            failed.append(sample.__name__)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    if failed:
        print('not made: ' + ', '.join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))

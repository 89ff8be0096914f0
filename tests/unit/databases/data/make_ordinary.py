"""Make ordinary/: what ordinary containers leave in their writable layers and volumes.

Every container of CONTAINERS is run for a few seconds from Debian's packages: in namespaces of its own, on an overlay
whose upper folder is its writable layer. That folder and the volumes are packed, every file cut to its first KEEP bytes.
Run as root:

    make_ordinary.py DEBIAN [NAME ...]

DEBIAN: a bookworm made by `debootstrap --variant=minbase` in which the packages of PACKAGES are installed (with a
policy-rc.d that starts nothing). The tests read what is packed and need none of this.
"""
import io
import lzma
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'ordinary')
KEEP = 2048
PACKAGES = ('nginx-light apache2 lighttpd haproxy varnish squid memcached redis-server postgresql mariadb-server php-fpm python3 '
            'python3-flask nodejs ruby-webrick openssh-server cron postfix bind9 dnsmasq unbound mosquitto prometheus '
            'prometheus-node-exporter etcd-server rabbitmq-server slapd influxdb git vsftpd sqlite3 procps tinyproxy curl')

APP = r"""mkdir -p /app && cat > /app/app.py <<'P'
import sqlite3, sys, helper
db = sqlite3.connect(sys.argv[1]); db.execute('create table if not exists orders (id integer)')
db.execute('insert into orders values (1)'); db.commit(); db.close()
import http.server
http.server.test(port=8000)
P
echo 'x = 1' > /app/helper.py; cd /app; timeout 3 python3 app.py %s"""
POSTGRES = (r"""install -d -o postgres /run/postgresql {0}; chown postgres {0}; B=/usr/lib/postgresql/15/bin; su postgres -c "
$B/initdb -D {0} >/dev/null
$B/pg_ctl -w -D {0} -o \"-h ''\" start
$B/psql -c 'create table orders as select generate_series(1, 99)' postgres; $B/pg_ctl -D {0} -m %s stop" """)
MARIADB = (r"""install -d -o mysql /run/mysqld {0}; chown mysql {0}; mariadb-install-db --no-defaults --user=mysql --datadir={0} --skip-test-db >/dev/null
mariadbd --no-defaults --user=mysql --datadir={0} --skip-networking --socket=/run/s & sleep 6
mariadb -S /run/s -e 'create database shop; create table shop.orders (id int) engine=innodb; insert into shop.orders values (1)'; kill %1; wait""")
REDIS = 'mkdir -p /data; cd /data; (sleep 1; redis-cli %s; redis-cli shutdown) & redis-server --dir /data %s'

# name: (command, {destination: volume or None for an anonymous one})
CONTAINERS = {
    'nginx': ("nginx -g 'daemon off;' & sleep 2; curl -s localhost >/dev/null", {}),
    'apache': ('. /etc/apache2/envvars; mkdir -p $APACHE_RUN_DIR; apache2 -DFOREGROUND & sleep 2; curl -s localhost', {}),
    'lighttpd': ('lighttpd -D -f /etc/lighttpd/lighttpd.conf & sleep 2; curl -s localhost', {}),
    'haproxy': ('haproxy -f /etc/haproxy/haproxy.cfg & sleep 2', {}),
    'varnish': ('varnishd -F -a :6081 -b 127.0.0.1:80 -s malloc,16m & sleep 4', {}),
    'squid': ('squid -N & sleep 4', {}),
    'tinyproxy': ('tinyproxy -d & sleep 2', {}),
    'memcached': ('memcached -u memcache & sleep 2', {}),
    'php-fpm': ('mkdir -p /run/php; php-fpm8.2 -F & sleep 2', {}),
    'python-web': ('mkdir /app; echo x=1 > /app/m.py; cd /app; python3 -m compileall -q /usr/lib/python3/dist-packages/jinja2; '
                   'python3 -c "import m"; timeout 2 python3 -m http.server', {}),
    'node-web': ("mkdir /app; echo 'require(\"http\").createServer((q,r)=>r.end(\"x\")).listen(3000)' > /app/i.js; timeout 2 node /app/i.js", {}),
    'ruby-web': ("timeout 3 ruby -rwebrick -e 'WEBrick::HTTPServer.new(Port: 4567).start'", {}),
    'perl-job': ("perl -e 'open F, \">/tmp/scratch\"; print F $_ for 1..9999'", {}),
    'sshd': ('rm -f /etc/ssh/ssh_host_*; ssh-keygen -A; mkdir -p /run/sshd; timeout 2 /usr/sbin/sshd -D', {}),
    'cron': ('timeout 2 cron -f', {}),
    'bind': ('mkdir -p /run/named; chown bind /run/named; timeout 4 named -f -u bind', {}),
    'dnsmasq': ('timeout 2 dnsmasq -k --port=5353', {}),
    'unbound': ('timeout 3 unbound -d', {}),
    'mosquitto': ('timeout 3 mosquitto -c /etc/mosquitto/mosquitto.conf', {}),
    'node-exporter': ('timeout 3 prometheus-node-exporter', {}),
    'packages': ('apt-cache gencaches; apt-get -y remove tinyproxy; echo > /root/.bash_history; mkdir -p /root/.cache; date > /root/.cache/x', {}),
    'scratch-db': (APP % '/tmp/session.db', {}),
    'redis-cache': ((REDIS % ('ping', '--save ""')), {}),
    'redis-idle': ((REDIS % ('ping', '')), {}),
    'redis-volume': ((REDIS % ('set a b', '')), {'/data': 'redis'}),
    'redis-layer': ((REDIS % ('set a b', '')), {}),
    'postgres-volume': ((POSTGRES % 'fast').format('/var/lib/postgresql/data'), {'/var/lib/postgresql/data': 'pgdata'}),
    'postgres-layer': ((POSTGRES % 'immediate').format('/srv/pg'), {}),
    'postgres-anonymous': ((POSTGRES % 'fast').format('/var/lib/postgresql/data'), {'/var/lib/postgresql/data': None}),
    'postgres-baked': (r"""install -d -o postgres /run/postgresql; pg_ctlcluster 15 main start
su postgres -c "psql -c 'create table orders as select generate_series(1, 99)'"
pg_ctlcluster 15 main stop""", {}),
    'mariadb-volume': (MARIADB.format('/var/lib/mysql2'), {'/var/lib/mysql2': 'mysql'}),
    'mariadb-layer': (MARIADB.format('/opt/data'), {}),
    'sqlite-volume': (APP % '/app/data/app.db', {'/app/data': 'appdata'}),
    'sqlite-layer': (APP % '/app/store', {}),
    'prometheus-volume': ('timeout 6 prometheus --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus', {'/prometheus': 'prom'}),
    'prometheus-layer': ("echo 'scrape_configs: [{job_name: self, scrape_interval: 1s, static_configs: [{targets: [\"localhost:9090\"]}]}]' > /p.yml; "
                         'timeout 9 prometheus --config.file=/p.yml --storage.tsdb.path=/var/data', {}),
    'etcd-layer': ('timeout 7 etcd --data-dir /var/data', {}),
    'rabbitmq-layer': ('timeout 25 /usr/lib/rabbitmq/bin/rabbitmq-server', {}),
    'influxdb-layer': ("influxd -config /etc/influxdb/influxdb.conf & sleep 4; curl -s localhost:8086/query -d 'q=CREATE DATABASE shop'; "
                       "curl -s 'localhost:8086/write?db=shop' -d 'a b=1'; sleep 1", {}),
    'git-server': ('git init -q --bare /srv/shop.git; git clone -q /srv/shop.git /tmp/w 2>/dev/null; cd /tmp/w; echo x > f; git add f; '
                   'git -c user.name=a -c user.email=a@b commit -q -m x; git push -q origin HEAD', {}),
    'uploads': ("mkdir -p /srv/ftp/photos; for n in $(seq 60); do head -c 3000 /dev/zero > /srv/ftp/photos/p$n.jpg; done", {}),
}

SCRIPT = r"""set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/merged"
cd "$2/merged"
mount -t proc proc proc
mount --rbind /dev dev
while read -r destination folder; do
    test -n "$destination" || continue
    mkdir -p ".$destination"
    mount --bind "$folder" ".$destination"
done < "$2/volumes"
ip link set lo up
exec chroot . /bin/sh -c "$3"
"""


def run(debian, name):
    command, volumes = CONTAINERS[name]
    work = tempfile.mkdtemp(prefix='ordinary-')
    try:
        for folder in ('upper', 'work', 'merged'):
            os.mkdir(os.path.join(work, folder))
        folders = {}
        with open(os.path.join(work, 'volumes'), 'w') as stream:
            for number, destination in enumerate(sorted(volumes)):
                folders[destination] = os.path.join(work, 'volume%d' % number)
                os.mkdir(folders[destination])
                stream.write('%s %s\n' % (destination, folders[destination]))
        done = subprocess.run(['unshare', '--mount', '--net', '--pid', '--fork', '--kill-child', '--propagation', 'private', 'sh', '-c', SCRIPT, 'sh',
                               debian, work, 'export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root; ' + command],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
        trees = [('layer', os.path.join(work, 'upper'))] + [('volume' + destination, folder) for destination, folder in sorted(folders.items())]
        pack(name, trees)
        return done
    finally:
        shutil.rmtree(work, ignore_errors=True)


def pack(name, trees):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode='w', format=tarfile.PAX_FORMAT) as tar:
        for prefix, top in trees:
            for root, folders, files in os.walk(top):
                folders.sort()
                here = os.path.join(prefix, os.path.relpath(root, top))
                for one in folders + sorted(files):
                    path = os.path.join(root, one)
                    st = os.lstat(path)
                    member = tarfile.TarInfo(os.path.normpath(os.path.join(here, one)))
                    member.mtime, member.mode = 1700000000, 0o644
                    if stat.S_ISDIR(st.st_mode):
                        member.type, member.mode = tarfile.DIRTYPE, 0o755
                        tar.addfile(member)
                    elif stat.S_ISREG(st.st_mode):
                        with open(path, 'rb') as stream:
                            # private keys are recognised by their first line; no whole one is kept
                            content = stream.read(40 if one.startswith('ssh_host_') or one.endswith(('.key', '.pem')) else KEEP)
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
    packed = lzma.compress(raw.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    with open(os.path.join(HERE, name + '.tar.xz'), 'wb') as out:
        out.write(packed)
    print('%-20s %6d bytes packed' % (name, len(packed)), flush=True)


def main():
    debian = os.path.abspath(sys.argv[1])
    os.makedirs(HERE, exist_ok=True)
    for name in sys.argv[2:] or CONTAINERS:
        done = run(debian, name)
        if '-v' in os.environ.get('ORDINARY', ''):
            print(done.stdout.decode('utf-8', 'replace')[-1500:])
    return 0


if __name__ == '__main__':
    sys.exit(main())

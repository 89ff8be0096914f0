"""More images with real servers, by debootstrap, cached outside the checkout: Debian's etcd, InfluxDB 1 and RabbitMQ in one, MySQL of its unstable
release in another."""
import os
import shutil

from . import databases

IMAGE = 'lifeboat/servers:1'
# Raised when the packages or the preparation below change.
FORMAT = 1
PACKAGES = ('etcd-server', 'etcd-client', 'influxdb', 'influxdb-client', 'rabbitmq-server')
MYSQL = 'lifeboat/mysql:1'
MYSQL_FORMAT = 1
MYSQL_PACKAGES = ('mysql-server-core', 'mysql-client-core')
MYSQL_SUITES = ('sid',)                 # no other release has it
SUPERFLUOUS = databases.SUPERFLUOUS + ('usr/lib/locale/locale-archive', 'var/lib/rabbitmq', 'var/lib/influxdb', 'var/lib/etcd')


def ensure_tar():
    """Path of a tar with the file system, made first if need be (two minutes)."""
    return databases.tar_of('servers', FORMAT, PACKAGES, databases.SUITES, _prepare)


def ensure_mysql():
    """The same with MySQL."""
    return databases.tar_of('mysql', MYSQL_FORMAT, MYSQL_PACKAGES, MYSQL_SUITES, _prepare_mysql)


def load(engine):
    """Import the image into ENGINE."""
    databases.load_tar(engine, ensure_tar(), IMAGE)


def load_mysql(engine):
    """The same, with MySQL."""
    databases.load_tar(engine, ensure_mysql(), MYSQL)


def _prepare_mysql(tree):
    _slim(tree)
    with open(os.path.join(tree, 'etc/passwd'), 'a', encoding='utf-8') as out:
        out.write('mysql:x:901:901::/nonexistent:/bin/false\n')
    os.makedirs(os.path.join(tree, 'var/lib/mysql'))
    os.chown(os.path.join(tree, 'var/lib/mysql'), 901, 901)


def _prepare(tree):
    _slim(tree)
    for name in ('etcd', 'influxdb', 'rabbitmq'):
        os.makedirs(os.path.join(tree, 'var/lib', name))
        os.chmod(os.path.join(tree, 'var/lib', name), 0o777)


def _slim(tree):
    for name in SUPERFLUOUS:
        path = os.path.join(tree, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.lexists(path):
            os.unlink(path)

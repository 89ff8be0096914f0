"""A second image with real servers: Debian's etcd, InfluxDB 1 and RabbitMQ, by debootstrap, cached outside the checkout."""
import functools
import os
import shutil

from . import databases

IMAGE = 'lifeboat/servers:1'
# Raised when the packages or the preparation below change.
FORMAT = 1
PACKAGES = ('etcd-server', 'etcd-client', 'influxdb', 'influxdb-client', 'rabbitmq-server')
SUPERFLUOUS = databases.SUPERFLUOUS + ('usr/lib/locale/locale-archive', 'var/lib/rabbitmq', 'var/lib/influxdb', 'var/lib/etcd')


def ensure_tar():
    """Path of a tar with the file system, made first if need be (two minutes)."""
    return databases.tar_of('servers', FORMAT, PACKAGES, databases.SUITES, _prepare)


load = functools.partial(databases.load, tar=ensure_tar, image=IMAGE)


def _prepare(tree):
    for name in SUPERFLUOUS:
        path = os.path.join(tree, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.lexists(path):
            os.unlink(path)
    for name in ('etcd', 'influxdb', 'rabbitmq'):
        os.makedirs(os.path.join(tree, 'var/lib', name))
        os.chmod(os.path.join(tree, 'var/lib', name), 0o777)

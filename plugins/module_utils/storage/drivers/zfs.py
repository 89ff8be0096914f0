# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""zfs: every layer is a dataset with a legacy mountpoint; nothing is visible until it is mounted (moby: graphdriver/zfs)."""
from .common import CACHE_ID, Lowers, folder_names

ENCODING = None
FOLDER = b'zfs'


def layer(ident):
    return b'zfs/graph/' + ident


writable = layer


def work(ident):
    return None


def merged(ident):
    return None


def ids(root):
    return [name for name in folder_names(root, b'zfs/graph') if CACHE_ID.match(name)]


def lowers(root, ident):
    return Lowers(None)


def next_step(root, ident):
    name = ident.decode('ascii', 'replace')
    return ('import the pool read-only (zpool import -o readonly=on POOL), find the dataset with: zfs list -o name -H | '
            'grep %s; mount it with: mount -t zfs -o ro DATASET DIR; and archive DIR' % name)

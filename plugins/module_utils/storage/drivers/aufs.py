# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""aufs (Docker up to 23): ``aufs/diff/<id>``, and ``aufs/layers/<id>`` with one ancestor a line, nearest first."""
from .. import model
from .common import CACHE_ID, Lowers, folder_names

ENCODING = model.AUFS
FOLDER = b'aufs'
REMOVING = b'-removing'                 # suffix of diff/ folders while a layer is deleted


def layer(ident):
    return b'aufs/diff/' + ident


writable = layer


def work(ident):
    return None


def merged(ident):
    return b'aufs/mnt/' + ident


def ids(root):
    return [name for name in folder_names(root, b'aufs/diff') if CACHE_ID.match(name)]


def lowers(root, ident):
    try:
        raw = root.descend(b'aufs/layers').read(ident, 1 << 20)
    except OSError:
        return Lowers(None, 'its file in aufs/layers is missing')
    names = tuple(line.strip() for line in raw.replace(b'\0', b'').split(b'\n') if line.strip())
    if not all(CACHE_ID.match(name) for name in names):
        return Lowers(None, 'its file in aufs/layers is damaged')
    return Lowers(names)

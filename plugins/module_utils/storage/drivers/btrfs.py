# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""btrfs: ``btrfs/subvolumes/<id>`` is a subvolume with the full file system; seen as an ordinary folder."""
from .. import model
from .common import CACHE_ID, Lowers, folder_names

ENCODING = model.PLAIN
FOLDER = b'btrfs'


def layer(ident):
    return b'btrfs/subvolumes/' + ident


writable = layer


def work(ident):
    return None


def merged(ident):
    return None


def ids(root):
    return [name for name in folder_names(root, b'btrfs/subvolumes') if CACHE_ID.match(name)]


def lowers(root, ident):
    return Lowers(None)

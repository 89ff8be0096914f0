# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""windowsfilter: layers of Windows containers; only Windows can open them."""
from .common import CACHE_ID, Lowers, folder_names

ENCODING = None
FOLDER = b'windowsfilter'


def layer(ident):
    return b'windowsfilter/' + ident


writable = layer


def work(ident):
    return None


def merged(ident):
    return None


def ids(root):
    return [name for name in folder_names(root, FOLDER) if CACHE_ID.match(name)]


def lowers(root, ident):
    return Lowers(None)


def next_step(root, ident):
    return 'attach the disk to a Windows host with containers and read the layer there'

# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""btrfs: ``btrfs/subvolumes/<id>`` is a subvolume with the full file system; seen as an ordinary folder."""
from ....records import model
from .common import ids_in, no_lowers, no_path, path_in

ENCODING = model.PLAIN
FOLDER = b'btrfs'
TREE = b'btrfs/subvolumes'

layer = writable = path_in(TREE)
work = merged = no_path
ids = ids_in(TREE)
lowers = no_lowers

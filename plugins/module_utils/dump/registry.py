# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of database that can be dumped: a file of kinds/, and its line here."""
from .kinds import mysql, postgresql, redis, sqlite

KINDS = {name: module.KIND for module in (postgresql, mysql, redis, sqlite) for name in module.KIND.engines}

# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controller side of docker_data_rescue: gives the host's bundles the host's inventory name."""
from __future__ import annotations

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        del tmp
        args = dict(self._task.args)
        args.setdefault('host_name', (task_vars or {}).get('inventory_hostname'))
        result.update(self._execute_module(module_args=args, task_vars=task_vars, wrap_async=self._task.async_val))
        return result

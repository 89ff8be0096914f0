# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of this floor: options in, result out."""
from . import engine, folders, inbox


def restore_remote(options):
    """The same for a bundle on the controller; the path is the folder that it comes through."""
    incoming = inbox.Inbox(options.path)
    try:
        return restore(options._replace(inbox=incoming))
    finally:
        incoming.close()


def restore(options):
    """OPTIONS: plan.Options -> result of docker_data_restore (dict). Raises LifeboatError, OSError."""
    if options.offline or options.target == 'directory':
        return folders.restore(options)
    return engine.restore(options)

"""For tests that have no time: a node that hears nothing ends after LIFEBOAT_TEST_PATIENCE seconds instead of minutes.

Loaded before the workers are forked, so it reaches the action plugin that they use.
"""
from __future__ import annotations

import os

from ansible.plugins.callback import CallbackBase

from ansible_collections.lifeboat.docker.plugins.plugin_utils import delivery_options

DOCUMENTATION = """
name: impatient
type: notification
short_description: for the tests of lifeboat.docker only
description: Shortens how long a node waits for its controller.
author: Lifeboat maintainers
"""

delivery_options.node_patience = lambda reconnecting: int(os.environ['LIFEBOAT_TEST_PATIENCE'])


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'notification'
    CALLBACK_NAME = 'impatient'
    CALLBACK_NEEDS_ENABLED = True

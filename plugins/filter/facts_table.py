from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.module_utils.cli import report
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain

WIDTH = 140
NARROWEST = 40


def facts_table(facts: Any, width: int = WIDTH, verbose: bool = False) -> list[str]:
    try:
        wanted = int(width)
    except (TypeError, ValueError) as exc:
        raise AnsibleFilterError('facts_table: width must be a number') from exc
    try:
        return report.look(plain(facts), max(wanted, NARROWEST), verbose=bool(verbose))
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as exc:
        # they come from a host that may say anything
        raise AnsibleFilterError('facts_table: the input must be the fact docker_layers of docker_layer_facts') from exc


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {'facts_table': facts_table}

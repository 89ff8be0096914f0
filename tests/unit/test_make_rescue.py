# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make rescue`: what it says, and which report counts which host."""
import importlib.util
import os
import sys

import pytest

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools')


@pytest.fixture(name='tool')
def load(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    spec = importlib.util.spec_from_file_location('tools_rescue', os.path.join(TOOLS, 'rescue.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_failed_module_is_one_sentence_and_no_dump(tool):
    answer = 'host | FAILED! => {"changed": false, "msg": "host_root /mnt/x does not exist. Mount it.", "invocation": {"x": 1}}'
    with pytest.raises(tool.envs.Missing) as caught:
        tool.facts_of(answer, '')
    assert str(caught.value) == 'docker_layer_facts failed: host_root /mnt/x does not exist. Mount it.'
    with pytest.raises(tool.envs.Missing, match='no such command'):
        tool.facts_of('', 'no such command')
    assert tool.facts_of('host | SUCCESS => {"ansible_facts": {"docker_layers": {"containers": []}}}', '') == {'containers': []}


class Ansible(object):
    """Stands for ansible: no container on this host, and a playbook that leaves a bundle and a report."""

    def __init__(self, host):
        self.host = host
        self.given = {}

    def facts(self, dummy):
        return {'containers': [], 'problems': []}

    def rescue(self, variables):
        Ansible.given = variables
        for folder, name in ((os.path.join(variables['rescue_dest'], self.host, 'web-1'), 'manifest.json'),
                             (variables['rescue_report_dir'], 'rescue-report.html')):
            os.makedirs(folder)
            open(os.path.join(folder, name), 'w').close()
        return 0


@pytest.mark.parametrize('options, folder', [(['--sample'], 'sample-reports'), ([], 'sample-reports'), (['--host-root', '.'], 'reports')])
def test_the_sample_has_a_report_of_its_own_and_the_page_is_named(tool, options, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tool, 'Ansible', Ansible)
    monkeypatch.setattr(tool, 'sample', lambda: '/sample')
    monkeypatch.setattr(tool.socket, 'gethostname', lambda: 'real')
    monkeypatch.setattr(sys, 'argv', ['rescue', '--dest', str(tmp_path)] + options)
    with pytest.raises(SystemExit) as caught:
        tool.main()
    assert caught.value.code == 0 and Ansible.given['rescue_report_dir'] == str(tmp_path / folder)
    assert 'Report: %s' % (tmp_path / folder / 'rescue-report.html') in capsys.readouterr().out


def test_a_wrong_host_root_is_said_before_anything_is_made(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, 'Ansible', None)
    monkeypatch.setattr(sys, 'argv', ['rescue', '--host-root', str(tmp_path / 'nowhere')])
    with pytest.raises(SystemExit, match='HOST_ROOT .*nowhere is no folder'):
        tool.main()

# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make rescue`: this host's Docker data into ./rescued/, by the playbook lifeboat.docker.rescue.

If the host has Docker data that this user may not read, it says what to run instead. If it has none, it builds the
data root of a small dead host and rescues that. A disk that is mounted somewhere: make rescue HOST_ROOT=/mnt/dead.
"""
import argparse
import glob
import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys

import envs
import tree

SAMPLE = os.path.join(envs.VENV, 'sample')
SETTINGS = {
    'ANSIBLE_DISPLAY_OK_HOSTS': 'false', 'ANSIBLE_DISPLAY_SKIPPED_HOSTS': 'false',
    'ANSIBLE_LOCALHOST_WARNING': 'false', 'ANSIBLE_INVENTORY_UNPARSED_WARNING': 'false', 'ANSIBLE_NOCOWS': 'true',
    'ANSIBLE_DEPRECATION_WARNINGS': 'false',
}


class Ansible(object):
    """The ansible commands of the project's environment, for one local host."""

    def __init__(self, host):
        self.bin = os.path.join(envs.make(['ansible'], envs.controller(), 'ansible'), 'bin')
        top = os.path.join(envs.VENV, 'rescue-tree')
        tree.build(top)
        config = os.path.join(envs.VENV, 'ansible.cfg')
        open(config, 'w').close()       # empty: the user's own settings must not change what happens here
        # some users have no home
        home = os.path.join(envs.VENV, 'ansible-home')
        self.environment = envs.clean_environment(
            ANSIBLE_CONFIG=config, ANSIBLE_COLLECTIONS_PATH=top, ANSIBLE_HOME=home,
            ANSIBLE_REMOTE_TMP=os.path.join(home, 'tmp'), **SETTINGS)
        self.options = ['-i', host + ',', '-e', json.dumps({
            'ansible_connection': 'local', 'ansible_python_interpreter': os.path.join(self.bin, 'python')})]

    def facts(self, arguments):
        """docker_layer_facts' answer. Raises envs.Missing with the module's own words."""
        command = [os.path.join(self.bin, 'ansible'), 'all'] + self.options + [
            '-m', 'lifeboat.docker.docker_layer_facts', '-a', json.dumps(dict(arguments, gather_subset=['containers']))]
        done = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        return facts_of(done.stdout.decode('utf-8', 'replace'), done.stderr.decode('utf-8', 'replace'))

    def rescue(self, variables):
        """Run the playbook in front of the user; returns its exit status."""
        command = [os.path.join(self.bin, 'ansible-playbook'), 'lifeboat.docker.rescue'] + self.options
        command += ['-e', json.dumps(variables)]
        print('ansible-playbook lifeboat.docker.rescue -e %s' % shlex.quote(json.dumps(variables)), flush=True)
        return subprocess.call(command, env=self.environment, cwd=envs.CHECKOUT, stdin=subprocess.DEVNULL)


def facts_of(said, errors):
    """The facts in what ad hoc ansible printed (`HOST | STATE => JSON`). Raises envs.Missing with the module's sentence."""
    head, dummy, answer = said.partition('=> ')
    try:
        result = json.loads(answer)
    except ValueError:
        raise envs.Missing('docker_layer_facts failed: %s' % (answer or head or errors).strip()[-2000:])
    facts = result.get('ansible_facts', {}).get('docker_layers')
    if facts is None:
        raise envs.Missing('docker_layer_facts failed: %s' % (result.get('msg') or 'it gave no reason').strip())
    return facts


def sample():
    """Build the small dead host, once for each state of its builder; returns the folder that is its root."""
    digest = hashlib.sha256()
    for path in sorted(glob.glob(os.path.join(envs.CHECKOUT, 'tests', 'fixtures', '*.py'))) + [os.path.abspath(__file__)]:
        with open(path, 'rb') as source:
            digest.update(source.read())
    root = os.path.join(SAMPLE, '%s-%d' % (digest.hexdigest()[:12], os.geteuid()))
    if not os.path.exists(os.path.join(root, 'whole')):
        shutil.rmtree(SAMPLE, ignore_errors=True)
        subprocess.run([sys.executable, os.path.join(envs.CHECKOUT, 'tests', 'fixtures', 'deadroot.py'),
                        '--host-root', root, '--containers', '5', os.path.join(root, 'var', 'lib', 'docker')],
                       stdout=subprocess.DEVNULL, check=True, env=envs.clean_environment(PYTHONDONTWRITEBYTECODE='1'))
        # no image can hold a file of such a name; here it would only make people wonder
        for odd in glob.glob(os.path.join(root, 'var', 'lib', 'docker', '*', '*', 'diff', 'srv', '.wh.looks-like-one')):
            os.unlink(odd)
        open(os.path.join(root, 'whole'), 'w').close()
    return root


def unreadable(facts):
    """Data roots that exist but may not be read by this user."""
    return [problem['object'] for problem in facts['problems'] if problem['code'] == 'DATA_ROOT_UNREADABLE']


def report(folder, reports):
    """Say where the report is and how to verify by hand the bundles in FOLDER; the playbook has shown them. True if there are any."""
    page = os.path.join(reports, 'rescue-report.html')
    if os.path.exists(page):
        print('\nReport: %s' % page)
    if not glob.glob(os.path.join(glob.escape(folder), '*', 'manifest.json')):
        return False
    print('\nVerify by hand:')
    print('  cd %s && for each in */SHA256SUMS; do (cd "${each%%/*}" && sha256sum --quiet -c SHA256SUMS '
          '&& echo "${each%%/*}: verified"); done' % shlex.quote(folder))
    print('Each bundle has a README.txt that says how to restore it, with nothing but tar.')
    return True


def main():
    parser = argparse.ArgumentParser(description='Rescue the data of a dead Docker host.')
    parser.add_argument('--host-root', default='/', help='where the root of the dead host is mounted')
    parser.add_argument('--data-root', action='append', default=[], help='a data root, if it is not found by itself')
    parser.add_argument('--dest', default=os.path.join(envs.CHECKOUT, 'rescued'))
    parser.add_argument('--sample', action='store_true', help='rescue the sample even if there is Docker data here')
    given = parser.parse_args()
    where = {'host_root': os.path.abspath(given.host_root), 'data_roots': given.data_root}
    asked = given.host_root != '/' or bool(given.data_root)
    if not os.path.isdir(where['host_root']):
        sys.exit('HOST_ROOT %s is no folder. Mount the disk of the dead host (docs/outage.md) and name the folder that holds its /.' % where['host_root'])
    host = 'sample-host' if given.sample else socket.gethostname() or 'localhost'
    ansible = Ansible(host)
    if not given.sample:
        facts = ansible.facts(where)
        closed = unreadable(facts)
        if closed:
            words = ['sudo', 'make', 'rescue'] + (['HOST_ROOT=' + given.host_root] if given.host_root != '/' else [])
            words += ['DATA_ROOT=' + each for each in given.data_root[:1]]
            sentence = 'There is Docker data in %s that this user may not read. Run: %s' % (
                ', '.join(closed), ' '.join(shlex.quote(word) for word in words))
            if not facts['containers']:
                sys.exit(sentence)
            print(sentence)
        if not facts['containers'] and not asked:
            print('No Docker data on this host: rescuing a sample instead. Its data root is built in .venv/sample.')
            given.sample, host = True, 'sample-host'
            ansible = Ansible(host)
    if given.sample:
        where = {'host_root': sample(), 'data_roots': []}
    dest = os.path.abspath(given.dest)
    # a report counts every host that shares its folder: the sample is none of them
    reports = os.path.join(dest, 'sample-reports' if given.sample else 'reports')
    status = ansible.rescue({'rescue_become': False, 'rescue_dest': dest, 'rescue_host_root': where['host_root'],
                             'rescue_data_roots': where['data_roots'],
                             'rescue_report_dir': reports})
    if not report(os.path.join(dest, host), reports) and not status:
        sys.exit('No container was found, so nothing was rescued.')
    sys.exit(status)


if __name__ == '__main__':
    try:
        main()
    except envs.Missing as problem:
        sys.exit('%s' % problem)

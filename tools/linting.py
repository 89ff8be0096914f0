"""The judges of `make lint`. Each function: (name of the part, run) -> (cases, what was said)."""
import glob
import os
import subprocess
import sys
import tempfile

import envs
import links
import reference
import release
from cases import FAILED, PASSED, Case


def judge(name, run, environment, command, **variables):
    """Run COMMAND (its first word from the environment) in the tree: one case."""
    own = os.path.join(environment, 'bin')
    path = own + os.pathsep + os.environ.get('PATH', os.defpath)
    status, said = run.command(name, [os.path.join(own, command[0])] + command[1:], PATH=path, **variables)
    return [Case(name, command[0], FAILED if status else PASSED, said[-4000:] if status else '')], said


def lint_env():
    return envs.make(['lint'], envs.controller(), 'lint')


def home():
    """Where judges may leave their logs and caches: not with whoever runs this."""
    path = os.path.join(envs.VENV, 'home')
    os.makedirs(path, exist_ok=True)
    return path


def yamllint(name, run):
    return judge(name, run, lint_env(), ['yamllint', '--strict', '.'])


def ruff(name, run):
    return judge(name, run, lint_env(), ['ruff', 'check', '--no-cache', '.'])


def mypy(name, run):
    """By package name: in the tree, module_utils and the controller's plugins are importable as users have them."""
    found, all_said = [], ''
    cache = os.path.join(envs.VENV, 'mypy')
    config = os.path.join(run.collection, 'mypy.ini')
    base = os.path.join('ansible_collections', 'lifeboat', 'docker')
    for part in ('plugins', 'tests/fixtures', 'tools'):
        if part == 'plugins':
            files, where = [os.path.join(base, 'plugins')], run.top
        else:
            where = os.path.join(run.collection, part)
            files = sorted(os.path.basename(each) for each in glob.glob(os.path.join(where, '*.py')))
        command = [os.path.join(lint_env(), 'bin', 'mypy'), '--config-file', config]
        command += ['--cache-dir', os.path.join(cache, part)]
        status, said = run.command('%s %s' % (name, part), command + files, cwd=where, MYPYPATH=run.top)
        found.append(Case(name, part, FAILED if status else PASSED, said[-4000:] if status else ''))
        all_said += said
    return found, all_said


def ansible_lint(name, run):
    return judge(name, run, lint_env(), ['ansible-lint', '--offline', '--strict', '--nocolor'],
                 HOME=home())


def docs(name, run):
    return judge(name, run, lint_env(), ['antsibull-docs', 'lint-collection-docs', '--plugin-docs',
                                         '--disallow-unknown-collection-refs', '.'], HOME=home())


def reference_pages(name, run):
    """docs/reference/ is what antsibull-docs makes of the present documentation."""
    with tempfile.TemporaryDirectory(prefix='made-') as scratch:
        made = reference.pages(lint_env(), run.top, scratch)
    stale = reference.stale(made, os.path.join(run.collection, reference.FOLDER))
    said = 'not current (`make reference`): %s' % ', '.join(stale) if stale else ''
    return [Case(name, '%d pages' % len(made), FAILED if stale else PASSED, said)], said


def dead_links(name, run):
    (pages, count), found = links.dead(run.collection)
    said = '\n'.join('%s: %s: %s' % each for each in found)
    if not count:
        said = 'no links found in %d pages: the search is broken' % pages
    return [Case(name, '%d links in %d pages' % (count, pages), FAILED if said else PASSED, said)], said


def changelog(name, run):
    return judge(name, run, lint_env(), ['antsibull-changelog', 'lint'])


def importer(name, run):
    """galaxy-importer on the tarball: its verdict, and any warning that it logs.

    Without its own ansible-lint, which it ends after 180 seconds whatever the machine is busy with: that of this lint
    asks for more (the same profile, and tests/ too), and takes the time that it takes.
    """
    tarball = release.build(lint_env(), os.path.join(envs.VENV, 'importer'))
    environment = envs.make(['importer'], envs.controller(), 'importer-env')
    found, said = judge(name, run, environment, ['python', '-m', 'galaxy_importer.main', tarball],
                        HOME=home(), GALAXY_IMPORTER_RUN_ANSIBLE_LINT='false')
    warnings = [line for line in said.splitlines() if line.startswith(('WARNING', 'ERROR'))]
    if warnings:
        found.append(Case(name, 'warnings', FAILED, '\n'.join(warnings)))
    return found, '\n'.join(line for line in said.splitlines() if not line.startswith('Loading '))


PARTS = (('yamllint', yamllint), ('ruff', ruff), ('mypy', mypy), ('antsibull-changelog', changelog),
         ('antsibull-docs', docs), ('reference', reference_pages), ('links', dead_links),
         ('ansible-lint', ansible_lint), ('galaxy-importer', importer))


def main():
    """`make format`: what ruff can mend by itself, in the checkout."""
    if sys.argv[1:] != ['--fix']:
        sys.exit('usage: linting.py --fix')
    sys.exit(subprocess.call([os.path.join(lint_env(), 'bin', 'ruff'), 'check', '--no-cache', '--fix', envs.CHECKOUT]))


if __name__ == '__main__':
    main()

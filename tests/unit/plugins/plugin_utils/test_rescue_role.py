"""The role offers what the module does, under its own prefix and with documented defaults; so do the files for AWX."""
import ast
import json
import os

import yaml

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 4)
OWN = {'rescue_title', 'rescue_merge_hours', 'rescue_fail_in_report', 'rescue_disk', 'rescue_disk_passphrase', 'rescue_disk_journal',
       'rescue_disk_nested', 'rescue_disk_attach_layers', 'rescue_scratch_dir', 'rescue_dumps', 'rescue_dumps_from',
       'rescue_repository', 'rescue_repository_keep', 'rescue_repository_after_bundle'}


def load(*names):
    with open(os.path.join(TOP, *names), encoding='utf-8') as raw:
        return yaml.safe_load(raw)


def options():
    """{option: its documentation} of the module and of the parts of the fragment that it shares."""
    found = {}
    for path in (('modules', 'docker_data_rescue.py'), ('doc_fragments', 'docker_disk.py')):
        with open(os.path.join(TOP, 'plugins', *path), encoding='utf-8') as source:
            tree = ast.parse(source.read())
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and node.targets[0].id in ('DOCUMENTATION', 'OUTPUT'):
                found.update(yaml.safe_load(ast.literal_eval(node.value)).get('options') or {})
    found.pop('delivery')
    return found


def test_every_option_is_a_variable():
    defaults, specs = load('roles', 'rescue', 'defaults', 'main.yml'), load('roles', 'rescue', 'meta', 'argument_specs.yml')
    documented = specs['argument_specs']['main']['options']
    wanted = {'rescue_' + name for name in options()}
    assert len(wanted) > 25
    assert set(defaults) == set(documented) == wanted | OWN
    assert {name: documented[name].get('default') for name in defaults} == defaults
    given = load('roles', 'rescue', 'tasks', 'main.yml')[0]['block'][1]['lifeboat.docker.docker_data_rescue']
    assert set(given) == set(options())
    dumps = load('roles', 'rescue', 'tasks', 'main.yml')[0]['block'][2]['lifeboat.docker.docker_data_rescue']
    # the same run again, with the dumps; `<<` is the mapping that both share
    assert {name for name in given if dumps.get(name) != given[name]} == {'include', 'force', 'deployment', 'deployment_credentials'}


def test_choices_are_those_of_the_module():
    documented = load('roles', 'rescue', 'meta', 'argument_specs.yml')['argument_specs']['main']['options']
    for name, option in options().items():
        assert sorted(map(str, option.get('choices', []))) == sorted(map(str, documented['rescue_' + name].get('choices', []))), name


def test_the_survey_asks_for_variables_that_exist():
    with open(os.path.join(TOP, 'docs', 'examples', 'awx', 'survey_rescue.json'), encoding='utf-8') as raw:
        survey = json.load(raw)
    documented = load('roles', 'rescue', 'meta', 'argument_specs.yml')['argument_specs']['main']['options']
    for question in survey['spec']:
        option = documented[question['variable']]
        if question['type'] == 'multiplechoice':
            assert sorted(question['choices']) == sorted(option['choices']) and question['default'] in option['choices']
    for task in load('docs', 'examples', 'awx', 'setup_awx.yml')[0]['tasks']:
        for name in task.get('awx.awx.job_template', {}).get('extra_vars', {}):
            assert name in documented or name.startswith('audit_')

"""docs/examples/awx fits together: what setup_awx.yml names exists, and AWX takes the survey (its rules, as AWX 24 has them)."""
import json
import os

import yaml

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir)
EXAMPLE = os.path.join(TOP, 'docs', 'examples', 'awx')


def load(*names):
    with open(os.path.join(*names), encoding='utf-8') as raw:
        return yaml.safe_load(raw)


def made(module):
    """The arguments of every task of setup_awx.yml with MODULE."""
    found = [task['awx.awx.' + module] for task in load(EXAMPLE, 'setup_awx.yml')[0]['tasks'] if 'awx.awx.' + module in task]
    assert found, module
    return found


def test_what_the_templates_name_is_made_and_there():
    projects, images = ({one['name'] for one in made(kind)} for kind in ('project', 'execution_environment'))
    for template in made('job_template'):
        assert template['project'] in projects and template['execution_environment'] in images
        play = load(EXAMPLE, template['playbook'])[0]
        name = play['ansible.builtin.import_playbook'].rpartition('.')[2]
        assert os.path.exists(os.path.join(TOP, 'playbooks', name + '.yml'))
        options = load(TOP, 'roles', name, 'meta', 'argument_specs.yml')['argument_specs']['main']['options']
        assert set(template['extra_vars']) <= set(options)
    assert {one['unified_job_template'] for one in made('schedule')} <= {one['name'] for one in made('job_template')}


def test_a_project_that_failed_once_is_synchronised_by_the_next_run():
    assert all(one['wait'] and one['update_project'] for one in made('project'))


def test_every_variable_is_declared():
    play = load(EXAMPLE, 'setup_awx.yml')[0]
    with open(os.path.join(EXAMPLE, 'setup_awx.yml'), encoding='utf-8') as raw:
        text = raw.read()
    for name in play['vars']:
        assert '{{ %s ' % name in text or '{{ %s}}' % name in text, name
    assert {word.split()[1] for word in text.split('"') if word.startswith('{{ awx_')} <= set(play['vars'])


def test_the_survey_is_one_that_awx_takes():
    with_survey = [one for one in made('job_template') if one.get('survey_enabled')]
    assert with_survey and all("'survey_rescue.json'" in one['survey_spec'] for one in with_survey)
    with open(os.path.join(EXAMPLE, 'survey_rescue.json'), encoding='utf-8') as raw:
        survey = json.load(raw)
    assert set(survey) == {'name', 'description', 'spec'}
    names = [question['variable'] for question in survey['spec']]
    assert len(names) == len(set(names))
    assert not [name for one in with_survey for name in names if name in one['extra_vars']]
    for question in survey['spec']:
        assert {'question_name', 'question_description', 'variable', 'type', 'required', 'default'} <= set(question)
        assert question['type'] in ('text', 'multiplechoice')
        if question['type'] == 'text':
            assert question['min'] <= len(question['default']) <= question['max']

"""Secrets are found by the name and by the shape of a value; what people need to read stays."""
import time

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import redact
from ansible_collections.lifeboat.docker.plugins.module_utils.records import codes

HTPASSWD = 'admin:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/'
JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N'
PEM = '-----BEGIN RSA PRIVATE KEY-----\nMIIB\nAAAA\n-----END RSA PRIVATE KEY-----'

SECRET = [
    ('traefik.http.middlewares.a.basicauth.users', HTPASSWD), ('com.example.API_KEY', 'x1'), ('db.password', 'x'), ('apikey', '1'),
    ('my.auth', 'letmein'), ('sessionKey', 'x'), ('smtp_pwd', 'x'), ('app.cookie', 'x'), ('private', 'x'), ('com.docker.compose.token', 'x'),
    ('users', HTPASSWD), ('users', 'admin:$2y$05$abcdefghijklmnopqrstuvwxyz'), ('users', 'u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g='),
    ('a', JWT), ('b', PEM), ('c', 'AKIAIOSFODNN7EXAMPLE'), ('d', 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'),
    ('e', 'postgres://shop:p4ss@db/shop'), ('f', 'https://hooks.example.com/x?token=abc'), ('g', 'd41d8cd98f00b204e9800998ecf8427e'),
    ('h', 'ghp_abcdefghijklmnopqrstuvwxyz0123'), ('i', '{"password": "x"}'), ('j', 'Bearer abcdefgh12345'), ('k', 'k3jh4kj5h6kj7h8kjh9sdf8s7df'),
    ('l', 'PGPASSWORD=x psql'), ('m', 'curl -u admin:pw http://x')]
HARMLESS = [
    ('com.docker.compose.config-hash', '0123456789abcdef' * 4), ('com.docker.compose.image', 'sha256:' + 'ab12' * 16),
    ('com.docker.compose.project', 'shop'), ('com.docker.compose.project.working_dir', '/home/User1/Projects2/shop'),
    ('com.docker.swarm.node.id', 'k3jh4kj5h6kj7h8kjh9sdf8s7'), ('maintainer', 'NGINX Docker Maintainers <docker-maint@nginx.com>'),
    ('org.opencontainers.image.revision', '0123456789abcdef0123456789abcdef01234567'), ('vcs-ref', '0123456789abcdef0123456789abcdef01234567'),
    ('org.label-schema.vcs-url', 'https://github.com/Org1/Repo2/blob/main/x'), ('org.label-schema.build-date', '2024-01-02T03:04:05Z'),
    ('traefik.http.routers.web.rule', 'Host(`shop.example.com`) && PathPrefix(`/api/v2`)'), ('traefik.enable', 'true'), ('author', 'me'),
    ('keyboard', 'de'), ('build_version', 'Linuxserver.io version:- 1.23.4-ls120 Build-date:- 2024-01-01'), ('lifeboat.audit.ignore', 'ANON_VOLUME'),
    ('desktop.docker.io/binds/0/Source', '/Users/Me1/abc'), ('img', 'registry.example.com:5000/team/app-backend-service:v1.2.3-rc4'),
    ('description', 'The quick brown fox jumps over 13 lazy dogs.'), ('use.auth', 'true'), ('password', ''), ('user', '1000:1000')]


@pytest.mark.parametrize('name, value', SECRET)
def test_secret_values(name, value):
    assert redact.values({name: value}) == {name: redact.REDACTED}


@pytest.mark.parametrize('name, value', HARMLESS)
def test_harmless_values(name, value):
    assert redact.values({name: value}) == {name: value}


def test_labels_that_repeat_the_environment():
    environment = ['FOO=hunter2hunter2', 'DB_PASSWORD=s3cretvalue', 'PROJECT=shopshop', 'APP_VERSION=1.27.0', 'SHORT=web', 'odd']
    labels = {'a': 'hunter2hunter2', 'b': 'in the middle s3cretvalue of it', 'com.docker.compose.project': 'shopshop', 'version': '1.27.0',
              'c': 'web', 'd': 5}
    assert redact.values(labels, environment) == dict(labels, a=redact.REDACTED, b=redact.REDACTED)


def test_options_of_volumes_keep_all_but_the_secret():
    assert redact.options({'type': 'cifs', 'o': 'username=u,password=a b;c,vers=3.0', 'device': '//srv/share', 'splunk-token': 'x'}) == {
        'type': 'cifs', 'o': 'username=u,password=VALUE_REDACTED,vers=3.0', 'device': '//srv/share', 'splunk-token': 'VALUE_REDACTED'}
    assert redact.options({'device': 'https://u:pw@dav.example.com/x'}) == {'device': 'https://u:VALUE_REDACTED@dav.example.com/x'}


@pytest.mark.parametrize('words, shown', [
    (['mysqld', '--password=x', '--port', '33', '--token', 'abc', '--verbose', 'postgres://u:pw@db/x'],
     ['mysqld', '--password=*', '--port', '33', '--token', '*', '--verbose', 'postgres://u:*@db/x']),
    (['curl', '-u', 'admin:pw', '--user', '1000:1000', '-H', 'Authorization: Basic dXNlcjpwdw=='],
     ['curl', '-u', 'admin:*', '--user', '1000:1000', '-H', 'Authorization: * *']),
    (['/usr/bin/mysql', '-h', 'db', '-psecret'], ['/usr/bin/mysql', '-h', 'db', '-p*']),
    (['redis-cli', '-a', 'pw', 'ping'], ['redis-cli', '-a', '*', 'ping']), (['redis-server', '--requirepass', 'pw'], ['redis-server', '--requirepass', '*']),
    (['sh', '-c', 'PGPASSWORD=x psql -h db'], ['sh', '-c', 'PGPASSWORD=* psql -h db']), (['nginx', '-g', 'daemon off;'], ['nginx', '-g', 'daemon off;'])])
def test_commands_keep_their_form(words, shown):
    assert redact.argv(words) == [word.replace('*', redact.REDACTED) for word in shown]


def test_sentences_keep_their_digests_and_ids():
    sentence = 'Image sha256:%s of web is lost: key missing in 0123456789abcdef0123456789abcdef (force: true helps).' % ('ab' * 32)
    assert redact.text(sentence) == sentence


def test_problems_and_errors_hold_no_secret():
    said = 'Mount nfs://u:hunter2@srv/x, %s, password=hunter2.' % JWT
    for text in (codes.problem('READ_ERROR', 'x', said).message, codes.problem('READ_ERROR', 'x', '', said).next_step,
                 str(LifeboatError(said))):
        assert 'hunter2' not in text and JWT not in text and text.startswith('Mount nfs://u:VALUE_REDACTED@srv/x')


@pytest.mark.parametrize('piece', [
    'a', '=', 'x=', '://', 'a:', '$2y$', 'eyJ', 'eyJ-', '-u ', 'mysql ', '-----BEGIN PRIVATE KEY-----', 'a/', '?a', ' ', 'sshpass ', 'a.', 'a://u:',
    'authorization: ', 'basic ', 'SG.', "a='", 'redis-cli ', 'sk-', 'A1b', ';token', 'curl -u a'])
def test_no_pattern_takes_more_than_linear_time(piece):
    """A label may have megabytes."""
    def seconds(size):
        value = piece * (size // len(piece))
        began = time.process_time()
        redact.values({'label': value})
        return time.process_time() - began
    assert seconds(200000) < 20 * max(seconds(20000), 0.05)

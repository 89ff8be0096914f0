"""Fernet against the vectors of its specification (verify.json, invalid.json), AES against FIPS 197."""
import base64

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import fernet

KEY = base64.urlsafe_b64decode('cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=')
TOKEN = b'gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=='


@pytest.mark.parametrize('token', [TOKEN, TOKEN.rstrip(b'=')])
def test_the_token_of_the_specification(token):
    assert fernet.open_token(token, KEY) == b'hello'


def test_the_block_of_fips_197():
    keys = fernet.round_keys(bytes(range(16)))
    assert fernet.decrypt_block(bytes.fromhex('69c4e0d86a7b0430d8cdb78070b4c55a'), keys).hex() == '00112233445566778899aabbccddeeff'


@pytest.mark.parametrize('token', [
    b'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==',    # another HMAC
    b'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==',   # too short
    b'%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==',    # no base64
    b'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm',       # no whole block
    b'gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==',    # padding
    b''])
def test_tokens_that_are_none(token):
    with pytest.raises(ValueError):
        fernet.open_token(token, KEY)


def test_another_key():
    with pytest.raises(ValueError):
        fernet.open_token(TOKEN, bytes(32))

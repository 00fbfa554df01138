"""Data inside a script element: it comes back as it was and cannot end the element."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report.rendering import content_policy, embedded_json

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(texts, st.lists(st.one_of(texts, st.integers(), st.none()))))
def test_embedded_json_is_read_back_and_has_no_markup(document):
    text = str(embedded_json(document))
    assert json.loads(text) == document
    assert not set("<>&\u2028\u2029") & set(text)


def test_an_end_of_the_element_is_escaped():
    assert str(embedded_json(["</script><!--"])) == '["\\u003c/script\\u003e\\u003c!--"]'


def test_the_policy_names_each_script_and_nothing_else():
    # printf 'alert(1)' | openssl dgst -sha256 -binary | base64
    digest = "bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI="
    assert f"script-src 'sha256-{digest}';" in content_policy(["alert(1)"])
    assert "script-src 'none';" in content_policy([])

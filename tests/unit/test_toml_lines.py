"""The line of each key, or none: never a wrong one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from readiness.toml_lines import lines

REPOSITORY = Path(__file__).parents[2]

ODD = '''\
a.b.c = 1
"x.y" = """a
# [no]
"""
[ t . "u v" ]   # a table
z = [1, # one
 2, {p = 'q]', r.s = [ [1,2],[]] },
]
[[list]]
k = 1
[list.below]
q = 2
[[list.below_it]]
w = "a\\\\"
[[list]]
k = 2026-01-01 10:00:00
[list.below]
q = "a\\"b#"
e = \'\'\'''\'\'\'
'''


def test_every_kind_of_key_has_its_line():
    found = lines(ODD)

    assert found["a", "b", "c"] == 1
    assert found[("x.y",)] == 2
    assert found["t", "u v"] == 5
    assert found["t", "u v", "z", 0] == 6
    assert found["t", "u v", "z", 2, "r", "s", 1] == 7
    assert found["list", 0, "below", "q"] == 12
    assert found["list", 0, "below_it", 0, "w"] == 14
    assert found["list", 1] == 15
    assert found["list", 1, "below", "e"] == 19


def test_a_table_that_is_named_before_it_begins_has_its_own_line():
    assert lines("[a.b]\nc = 1\n[a]\nd = 2\n")["a", "d"] == 4


@pytest.mark.parametrize("name", ["readiness.toml", "pyproject.toml", "waivers.toml"])
def test_each_key_of_a_real_file_stands_on_the_line_that_is_told(name):
    text = (REPOSITORY / name).read_text()
    rows = text.splitlines()
    found = lines(text)

    assert {place[0] for place in found} == set(tomllib.loads(text))
    for place, line in found.items():
        if isinstance(place[-1], str):
            assert place[-1] in rows[line - 1]


def test_lines_of_windows_are_counted_alike():
    assert lines("a = 1\r\nb = 2\r\n") == {("a",): 1, ("b",): 2}


@pytest.mark.parametrize("text", ["[a", "a = ", 'a = "', "a = [1,", "= 1", ""])
def test_what_is_no_toml_has_no_lines(text):
    assert lines(text) == {}


def test_a_text_that_is_read_otherwise_than_tomllib_does_has_no_lines(monkeypatch):
    monkeypatch.setattr("readiness.toml_lines._BARE", __import__("re").compile("[a-z]"))

    assert lines("ab = 1\n") == {}

from dataclasses import dataclass
from typing import Literal

import pytest

from pointmcd.errors import ConfigError
from pointmcd.specs import NoOptions, Spec, parse_options, spec_text


@dataclass(frozen=True)
class Options:
    kind: Literal["a", "b"] = "a"
    on: bool = False
    size: float = 0.5
    count: int = 3
    title: str = "x"


@pytest.mark.parametrize(
    ("text", "name", "weight", "options"),
    [
        ("vafp", "vafp", None, {}),
        ("vafp:3", "vafp", 3.0, {}),
        ("vafp:0.5,kind=b, on = true", "vafp", 0.5, {"kind": "b", "on": "true"}),
        ("my_file:Mine", "my_file:Mine", None, {}),
        ("my_file:Mine:2,size=1e-3", "my_file:Mine", 2.0, {"size": "1e-3"}),
        (r"C:\mine\own.py:Mine", r"C:\mine\own.py:Mine", None, {}),
        (r"C:\mine\own.py:Mine:2,title=D:\x", r"C:\mine\own.py:Mine", 2.0, {"title": r"D:\x"}),
        ("vafp,title=a=b", "vafp", None, {"title": "a=b"}),
        ("vafp,title=", "vafp", None, {"title": ""}),
    ],
)
def test_a_text_is_taken_apart(text, name, weight, options):
    assert Spec.parse(text, "objective") == Spec(name, weight, options)


@pytest.mark.parametrize("text", ["vafp,kind", "vafp,=b", "vafp,", "vafp,on=true,on=false"])
def test_an_option_needs_a_value_and_stands_once(text):
    with pytest.raises(ConfigError, match=f"objective {text}: expected NAME"):
        Spec.parse(text, "objective")


def test_options_have_the_types_of_their_fields():
    given = {"kind": "b", "on": "True", "size": "2", "count": "-7", "title": "y"}
    assert parse_options(Options, given, "x") == Options("b", True, 2.0, -7, "y")
    assert parse_options(Options, {}, "x") == Options()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"kind": "c"}, "vafp, kind c: use one of a, b"),
        ({"on": "yes"}, "vafp, on yes: expected true or false"),
        ({"size": "big"}, "vafp, size big: expected float"),
        ({"count": "1.5"}, "vafp, count 1.5: expected int"),
        ({"colour": "red"}, "vafp: no option colour; it has kind, on, size, count, title"),
    ],
)
def test_a_wrong_option_is_refused(given, text):
    with pytest.raises(ConfigError, match=text):
        parse_options(Options, given, "vafp")


def test_a_plug_without_options_says_so():
    with pytest.raises(ConfigError, match="no option on; it has none"):
        parse_options(NoOptions, {"on": "true"}, "logits")


def test_a_whole_spec_reads_back_as_itself():
    options = Options("b", True, 1e-3, 4, "t")
    text = spec_text("m:X", options, 2.5)
    assert text == "m:X:2.5,kind=b,on=true,size=0.001,count=4,title=t"
    spec = Spec.parse(text, "objective")
    assert (spec.name, spec.weight) == ("m:X", 2.5)
    assert parse_options(Options, spec.options, "x") == options
    assert spec_text("plain", NoOptions()) == "plain"

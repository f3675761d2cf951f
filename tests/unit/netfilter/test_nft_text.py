"""Elements and chains are read as nft prints them."""

from __future__ import annotations

from linkspan.netfilter.nft_text import add, clean, delete, parse_chain, parse_elements, same
from linkspan.netfilter.rules import Element

LISTING = (
    "table inet linkspan {\n\tmap ports {\n"
    "\t\ttype inet_proto . inet_service . ipv6_addr : ipv6_addr . inet_service\n"
    '\t\telements = { tcp . 80 . ::1 comment "a, b: {c}" : fd00::2 . 8080,\n'
    "\t\t\t     udp . 53 . :: : fd00::3 . 53 }\n\t}\n}\n"
)


def test_elements_are_read_with_key_value_and_comment() -> None:
    assert tuple(parse_elements("ports", LISTING)) == (
        Element(name="ports", key=("tcp", "80", "::1"), value="fd00::2 . 8080", comment="a, b: {c}"),
        Element(name="ports", key=("udp", "53", "::"), value="fd00::3 . 53"),
    )


def test_an_empty_set_has_no_elements() -> None:
    assert tuple(parse_elements("s", "table inet linkspan {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\n")) == ()


def test_what_is_written_is_one_command_for_each_set() -> None:
    elements = (
        Element(name="a", key=("1", "2"), value="3", comment='say "x"\n'),
        Element(name="b", key=("4",)),
        Element(name="a", key=("5", "6"), value="7"),
    )
    assert list(add(elements)) == [
        "add element inet linkspan a { 1 . 2 comment \"say 'x' \" : 3, 5 . 6 : 7 }",
        "add element inet linkspan b { 4 }",
    ]
    assert list(delete([("a", ("1", "2"))])) == ["delete element inet linkspan a { 1 . 2 }"]


def test_a_rule_that_nft_broke_into_lines_is_one() -> None:
    listing = (
        "table inet linkspan {\n\tchain c {\n\t\ttype filter hook forward priority filter; policy accept;\n"
        "\t\tip daddr { 10.0.0.1,\n\t\t\t   10.0.0.2 } drop\n\t\tjump d\n\t}\n}\n"
    )
    assert parse_chain(listing) == ("ip daddr { 10.0.0.1, 10.0.0.2 } drop", "jump d")


def test_spacing_makes_no_other_value() -> None:
    one = Element(name="a", key=("1",), value="2  .  3", comment='"')
    assert same(one, Element(name="a", key=("1",), value="2 . 3", comment=clean('"')))

"""Templates print what Go's print. The cases are those of Docker's documentation and of scripts that
use it.
"""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.cli.output.parse import TemplateError
from linkspan.cli.output.template import Fields, fields, render

NETWORK: dict[str, Any] = {
    "Name": "custom",
    "Id": "af39",
    "Internal": False,
    "Number": 3,
    "IPAM": {"Config": [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}, {"Subnet": "fd00::/64"}]},
    "Containers": {"b2": {"Name": "web"}, "a1": {"Name": "db"}},
    "Labels": {"env": "prod", "a.b/c": "x"},
    "Options": {},
    "Nothing": None,
}
VALUE = fields(NETWORK, frozenset({"Containers", "Labels", "Options"}), {"ID": "Id"})


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("{{.Name}}", "custom"),
        ("{{ .Name }}-{{.Id}}", "custom-af39"),
        ("{{.ID}}", "af39"),
        ("{{.IPAM.Config}}", "[map[Gateway:172.18.0.1 Subnet:172.18.0.0/16] map[Subnet:fd00::/64]]"),
        ("{{range .IPAM.Config}}{{.Subnet}} {{end}}", "172.18.0.0/16 fd00::/64 "),
        ("{{(index .IPAM.Config 0).Subnet}}", "172.18.0.0/16"),
        ("{{with index .IPAM.Config 1}}{{.Subnet}}{{end}}", "fd00::/64"),
        ("{{range $k, $v := .Containers}}{{$k}}={{$v.Name}} {{end}}", "a1=db b2=web "),
        ("{{range $v := .Containers}}{{$v.Name}} {{end}}", "db web "),
        ("{{range .Containers}}{{.Name}}{{$.Name}} {{end}}", "dbcustom webcustom "),
        ("{{range .Options}}x{{else}}none{{end}}", "none"),
        (
            "{{range $i, $e := .IPAM.Config}}{{if $i}}, {{end}}{{$e.Subnet}}{{end}}",
            "172.18.0.0/16, fd00::/64",
        ),
        ("{{range .Number}}{{.}}{{end}}", "012"),
        ("{{if .Internal}}yes{{else}}no{{end}}", "no"),
        ('{{if eq .Name "x"}}1{{else if eq .Name "custom"}}2{{else}}3{{end}}', "2"),
        ("{{if and .Name (not .Internal)}}ok{{end}}", "ok"),
        ("{{or .Nothing .Name}}", "custom"),
        ("{{json .Labels}}", '{"env":"prod","a.b/c":"x"}'),
        ("{{json .Internal}} {{json .Name}}", 'false "custom"'),
        ('{{index .Labels "a.b/c"}}', "x"),
        ('{{index .Labels "absent"}}', ""),
        ("{{.Labels.absent}}", "<no value>"),
        ("{{.Nothing}}", "<no value>"),
        ("{{len .Containers}} {{len .Name}}", "2 6"),
        ('{{join (split "a,b" ",") "-"}}', "a-b"),
        ("{{.Name | upper | printf `%-8s|`}}", "CUSTOM  |"),
        ('{{printf "%s %d %5.1f %q %v %%" .Name 3 1.25 "a" true}}', 'custom 3   1.2 "a" true %'),
        ("{{println .Name .Number}}", "custom 3\n"),
        ('{{print "a" "b"}} {{print 1 2}}', "ab 1 2"),
        ("{{truncate .Name 3}} {{title .Name}} {{pad .Name 1 2}}|", "cus Custom  custom  |"),
        ("{{$x := .Name}}{{$x}}{{$x = .Id}}{{$x}}", "customaf39"),
        ("a  {{- .Name -}}  b", "acustomb"),
        ("{{/* a comment */}}x{{- /* another */ -}} y", "xy"),
        ("{{true}} {{false}} {{1.5}} {{-3}}", "true false 1.5 -3"),
        ("{{eq .Number 1 3}} {{ne .Number 3}} {{lt 1 2}} {{ge 2 3}}", "true false true false"),
        ("{{if .Options}}a{{else with .Name}}{{.}}{{end}}", "custom"),
    ],
)
def test_a_template_prints_what_gos_does(template: str, printed: str) -> None:
    assert render(template, VALUE) == printed


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{.Nme}}", "no field 'Nme'; one of Name, Id, Internal"),
        ("{{(index .IPAM.Config 0).Subnt}}", "one of Subnet, Gateway"),
        ("{{index .IPAM.Config 5}}", "index out of range: 5"),
        ("{{.Name.Length}}", "can't evaluate field Length"),
        ("{{nothing .Name}}", 'function "nothing" not defined'),
        ("{{join .Name}}", "wrong arguments for join"),
        ('{{join .Name ","}}', "is not a list"),
        ("{{len .Number}}", "len of type int"),
        ('{{index .Number "a"}}', "can't index"),
        ("{{$x}}", "undefined variable"),
        ("{{range .Name}}{{end}}", "can't iterate"),
        ("{{lt .Name 1}}", "incompatible types"),
        ('{{.Name "x"}}', "Name is not a function"),
        ('{{"a" | .Name}}', "cannot follow |"),
        ('{{printf "%s %s" "a"}}', "no value for %s"),
    ],
)
def test_a_template_that_cannot_be_applied_says_why(template: str, why: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(template, VALUE)
    assert why in str(caught.value)


def test_a_field_may_be_a_function() -> None:
    row = Fields({"Label": lambda name: f"<{name}>"})
    assert render('{{.Label "env"}} {{json .}}', row) == "<env> {}"

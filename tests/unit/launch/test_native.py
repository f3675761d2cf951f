"""What the compiler is given in front of launcher.c, and what it says when there is none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from linkspan.launch import native


def test_a_constant_of_any_text_comes_out_of_the_compiler_as_it_went_in(tmp_path: Path) -> None:
    text = "".join(map(chr, range(1, 256))) + "%s \\n ??/ \udcff1"
    source = native.definitions({"TEXT": text, "NUMBER": 42}) + (
        '#include <stdio.h>\nint main(void) { fputs(TEXT, stdout); printf("%d", NUMBER); return 0; }\n'
    )
    (tmp_path / "a.c").write_text(source)
    subprocess.run([*native.compiler(), "-o", tmp_path / "a", tmp_path / "a.c"], check=True)
    printed = subprocess.run([tmp_path / "a"], capture_output=True, check=True).stdout
    assert printed == text.encode(errors="surrogateescape") + b"42"


def test_cc_names_the_compiler_and_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "ccache 'my cc' -O3")
    assert native.compiler() == ["ccache", "my cc", "-O3"]


def test_a_machine_without_a_compiler_is_told_what_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(native.CannotCompile, match="cc, gcc or clang"):
        native.compiler()

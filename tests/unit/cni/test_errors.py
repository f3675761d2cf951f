"""Every error a caller can be told: one class for one code, in the places that the specification leaves."""

from __future__ import annotations

import errno

import pytest

from linkspan.cni import errors
from linkspan.cni.errors import Bug, CniError, DelegateFailed, KernelRefused, NetnsGone, NotAFile

CLASSES = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, CniError)]
#: Not of a code of their own: the base, the delegate's code, and kinds of InvalidNetns and IoFailure.
OWN = [each for each in CLASSES if each not in (CniError, DelegateFailed, NetnsGone, NotAFile)]


def test_no_two_errors_have_one_code() -> None:
    codes = [each.code for each in OWN]
    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.__name__)
def test_a_code_is_the_specification_s_or_ours_and_never_3(kind: type[CniError]) -> None:
    """3 tells a runtime that no DEL is needed (SPEC 1.1.0, "Error")."""
    assert kind.code in (1, 2, 4, 5, 6, 7, 8, 11, 50, 51) or 100 <= kind.code <= 199


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.__name__)
def test_the_overview_names_every_error_with_its_code(kind: type[CniError]) -> None:
    words = (errors.__doc__ or "").split()
    assert words[words.index(kind.__name__) + 1] == str(kind.code)


def test_what_the_kernel_said_is_in_the_message_and_its_number_beside_it() -> None:
    error = KernelRefused("create the bridge br0", errno.EPERM)
    assert error.msg == "the kernel refused to create the bridge br0: Operation not permitted"
    assert (error.errno, error.request) == (errno.EPERM, "create the bridge br0")


@pytest.mark.parametrize(("details", "told"), [("", "also: two"), ("fix it", "fix it; also: two")])
def test_a_further_failure_is_told_behind_the_details(details: str, told: str) -> None:
    error = CniError("one", details)
    error.also(CniError("two"))
    assert (error.msg, error.details) == ("one", told)


def test_a_further_failure_that_is_no_error_of_ours_is_told_too() -> None:
    error = Bug("one")
    error.also(ValueError("two"))
    assert error.details == "also: ValueError('two')"

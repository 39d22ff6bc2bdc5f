from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.serving.export.names import customer_of, folder_of, is_folder


@pytest.mark.parametrize(
    ("customer", "folder"),
    [
        ("acme-2_x", "customer=acme-2_x"),
        ("Acme", "customer=%41cme"),
        ("../x", "customer=%2E%2E%2Fx"),
        ("a/b\\c", "customer=a%2Fb%5Cc"),
        ("nul\0", "customer=nul%00"),
        ("müller & 子", "customer=m%C3%BCller%20%26%20%E5%AD%90"),
        ("50%", "customer=50%25"),
        ("", "customer="),
        ("~", "customer=%7E"),
        (None, "customer=__HIVE_DEFAULT_PARTITION__"),
        (
            "__HIVE_DEFAULT_PARTITION__",
            "customer=__%48%49%56%45_%44%45%46%41%55%4C%54_%50%41%52%54%49%54%49%4F%4E__",
        ),
    ],
)
def test_a_customer_is_a_folder_and_back(customer: str | None, folder: str) -> None:
    assert folder_of(customer) == folder
    assert (customer_of(folder), is_folder(folder)) == (customer, True)


@settings(max_examples=50)
@given(st.text(max_size=30) | st.none())
def test_every_name_comes_back_and_leaves_no_folder(customer: str | None) -> None:
    folder = folder_of(customer)
    assert customer_of(folder) == customer
    assert is_folder(folder)
    assert folder.isascii()
    assert len(folder) <= 255


@settings(max_examples=50)
@given(st.text(max_size=20), st.text(max_size=20))
def test_two_names_are_two_folders_even_where_case_does_not_count(one: str, other: str) -> None:
    assert (folder_of(one).lower() == folder_of(other).lower()) == (one == other)


def test_a_name_too_long_for_a_file_system_is_its_checksum() -> None:
    long, longer = folder_of("ü" * 100), folder_of("ü" * 101)
    assert is_folder(long)
    assert (len(long), long != longer) == (len("customer=~") + 64, True)
    with pytest.raises(ValueError, match="does not name a customer"):
        customer_of(long)


@pytest.mark.parametrize(
    "name", ["customer=../x", "customer=A", "customer=a/b", "day=1", "customer=%2g", "customer=~1"]
)
def test_what_is_no_folder_of_ours_is_known(name: str) -> None:
    assert not is_folder(name)

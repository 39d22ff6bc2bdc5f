from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import encode_varint as kafka_varint

from sluice.sources.crc32c import crc32c
from sluice.sources.record_batch import RecordBlock, builder_class, encode_varint

NO_COMPRESSION, GZIP = 0, 1


@pytest.mark.parametrize(("data", "checksum"), [(b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA)])
def test_the_checksum_is_that_of_rfc_3720(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


@settings(max_examples=40, deadline=None)
@given(size=st.one_of(st.integers(4, 300), st.integers(16_000, 50_000)), seed=st.integers(0, 2**32))
def test_the_checksum_is_the_clients_own_at_every_length(size: int, seed: int) -> None:
    from kafka.record._crc32c import crc

    # From a seed: so many bytes drawn one by one are more than hypothesis gives at times.
    data = random.Random(seed).randbytes(size)
    assert crc32c(data) == crc(data)


@given(st.integers(-(2**62), 2**62))
def test_numbers_are_encoded_as_the_client_encodes_them(number: int) -> None:
    expected = bytearray()
    kafka_varint(number, expected.append)
    assert encode_varint(number) == bytes(expected)


records = st.lists(
    st.tuples(st.one_of(st.none(), st.binary(max_size=300)), st.binary(max_size=9000), st.integers(-5000, 5000)),
    min_size=1,
    max_size=60,
)


@pytest.mark.parametrize("compression", [NO_COMPRESSION, GZIP])
@settings(max_examples=40, deadline=None)
@given(given_records=records)
def test_a_batch_holds_every_record_in_order_as_the_client_reads_it(
    compression: int, given_records: list[tuple[bytes | None, bytes, int]]
) -> None:
    now = 1_790_000_000_000
    block = RecordBlock()
    for key, value, later_ms in given_records:
        block.append(key, value, now + later_ms)
    builder = builder_class(1024).of(block, compression)
    builder.set_producer_state(17, 3, 250, False)
    batch = DefaultRecordBatch(bytes(builder.build()))
    assert batch.validate_crc()
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (17, 3, 250)
    assert batch.max_timestamp == now + max(later for _, _, later in given_records)
    assert [(found.offset, found.key, found.value, found.timestamp, found.headers) for found in batch] == [
        (number, key, value, now + later, []) for number, (key, value, later) in enumerate(given_records)
    ]

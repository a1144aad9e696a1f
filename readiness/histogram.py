"""Latency histograms that merge exactly and never lose more than 0.1 % of a value.

The buckets are those of HdrHistogram with three significant digits: below 2,048 us every value has its own, above that
each power of two is cut into 1,024. Only buckets that were hit are stored, so that a histogram per second, scenario
and outcome stays small. The wire form is HdrHistogram's own (V2, compressed, base64), so that any of its tools can
read the evidence.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from readiness.errors import EvidenceError

if TYPE_CHECKING:
    import numpy as np

    _Column = np.ndarray[Any, np.dtype[Any]]

_HALF_BITS = 10
_EXACT_BELOW = 1 << (_HALF_BITS + 1)
HIGHEST_US = 3_600_000_000
"""An hour. What lasts longer is recorded as this long: no request of ours is allowed to take so much."""

_PLAIN_COOKIE = 0x1C849303 | 0x10
_COMPRESSED_COOKIE = 0x1C849304 | 0x10
_PLAIN_HEADER = struct.Struct(">iiiiqqd")
_COMPRESSED_HEADER = struct.Struct(">ii")
_MAX_PLAIN_BYTES = 1 << 20
_WORTH_IT = 8
"""Wire forms from which on numpy is quicker."""
_EXACT_SUM = 2.0**52
_AT_ONCE_BYTES = 1 << 17
_LONGEST_NUMBER = 7
"""Bytes: 49 bits. Longer ones are read one by one, as exact as Python's integers are."""


def bucket_of(value_us: int) -> int:
    """Return the index of the bucket that *value_us* falls into."""
    if value_us < _EXACT_BELOW:
        return value_us
    shift = value_us.bit_length() - _HALF_BITS - 1
    return (shift << _HALF_BITS) + (value_us >> shift)


def highest_value_of(bucket: int) -> int:
    """Return the highest value that falls into *bucket*: what a percentile reports, so that it never flatters."""
    if bucket < _EXACT_BELOW:
        return bucket
    shift = (bucket >> _HALF_BITS) - 1
    return (((bucket - (shift << _HALF_BITS)) + 1) << shift) - 1


BUCKETS = bucket_of(HIGHEST_US) + 1
"""How many there can be."""


class Histogram:
    """Counts of latencies in microseconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.total = 0

    def record(self, value_us: int, count: int = 1) -> None:
        """Count *value_us*.

        Raises:
            ValueError: it is negative; a clock went backwards, or the caller did.
        """
        if value_us < 0:
            raise ValueError(f"A latency cannot be negative: {value_us} us.")
        bucket = bucket_of(min(value_us, HIGHEST_US))
        self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total += count

    def merge(self, other: Histogram) -> None:
        """Add all that *other* counted; exactly what one histogram of both would have."""
        counts = self.counts
        known = counts.get
        if counts:
            for bucket, count in other.counts.items():
                counts[bucket] = known(bucket, 0) + count
        else:
            counts.update(other.counts)
        self.total += other.total

    def add_buckets(self, buckets: Iterable[tuple[int, int]]) -> None:
        """Add pairs of bucket index and count, each bucket once."""
        counts = self.counts
        if not counts:
            counts.update(buckets)
            self.total = sum(counts.values())
            return
        for bucket, count in buckets:
            counts[bucket] = counts.get(bucket, 0) + count
            self.total += count

    def value_at_rank(self, rank: int) -> int:
        """Return the *rank*-th smallest value (1 = the smallest), in microseconds.

        Raises:
            ValueError: there are fewer values than that, or none.
        """
        if not 1 <= rank <= self.total:
            raise ValueError(f"There is no value of rank {rank} among {self.total}.")
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return highest_value_of(bucket)
        raise ValueError(f"The counts add up to {seen}, not to {self.total}.")

    def count_above(self, value_us: int) -> int:
        """Return how many values were greater than *value_us*, up to the width of one bucket."""
        last = bucket_of(min(value_us, HIGHEST_US))
        return sum(count for bucket, count in self.counts.items() if bucket > last)

    def split(self) -> tuple[Histogram, Histogram]:
        """Return two histograms that merge to this one, each with about half of its buckets."""
        buckets = sorted(self.counts.items())
        halves = Histogram(), Histogram()
        halves[0].add_buckets(buckets[: len(buckets) // 2])
        halves[1].add_buckets(buckets[len(buckets) // 2 :])
        return halves

    def encode(self) -> str:
        """Return the lossless wire form: HdrHistogram V2, compressed, base64."""
        payload = bytearray()
        following = 0
        for bucket, count in sorted(self.counts.items()):
            zeros = bucket - following
            if zeros:
                _append_zigzag(payload, -zeros if zeros > 1 else 0)
            _append_zigzag(payload, count)
            following = bucket + 1
        plain = _PLAIN_HEADER.pack(_PLAIN_COOKIE, len(payload), 0, 3, 1, HIGHEST_US, 1.0) + payload
        packed = zlib.compress(plain)
        return base64.b64encode(_COMPRESSED_HEADER.pack(_COMPRESSED_COOKIE, len(packed)) + packed).decode("ascii")

    @classmethod
    def decode(cls, text: str) -> Histogram:
        """Return the histogram that *text* is the wire form of.

        Raises:
            EvidenceError: it is none of ours, or it is damaged.
        """
        made = cls()
        try:
            made.add_buckets(_buckets(_payload(text)))
        except ValueError as error:
            raise EvidenceError(f"A latency histogram cannot be read: {error}") from error
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.counts == other.counts

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Histogram of {self.total} values in {len(self.counts)} buckets>"


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """Return one histogram of all that *histograms* counted."""
    whole = Histogram()
    for histogram in histograms:
        whole.merge(histogram)
    return whole


def merged_wire_forms(texts: Sequence[str]) -> Histogram:
    """Return one histogram of all that wire forms hold: ``merged(map(Histogram.decode, texts))``, but quicker.

    Raises:
        EvidenceError: one of them is none of ours, or it is damaged.
    """
    if len(texts) < _WORTH_IT:
        return merged(map(Histogram.decode, texts))
    whole = Histogram()
    begin = 0
    while begin < len(texts):
        payloads: list[bytes] = []
        size = 0
        while begin + len(payloads) < len(texts) and size < _AT_ONCE_BYTES:
            payloads.append(_payload(texts[begin + len(payloads)]))
            size += len(payloads[-1])
        part = _added_up(payloads)
        whole.merge(merged(map(Histogram.decode, texts[begin : begin + len(payloads)])) if part is None else part)
        begin += len(payloads)
    return whole


def _added_up(payloads: Sequence[bytes]) -> Histogram | None:
    """Return the sum of the zigzag LEB128 numbers of histograms; None = something is odd with one of them."""
    import numpy as np  # here, for workers import this module as well

    payloads = [payload for payload in payloads if payload]
    if not payloads:
        return Histogram()
    data = np.frombuffer(b"".join(payloads), dtype=np.uint8)
    last = np.flatnonzero(data < 0x80)  # byte of each number
    ends = np.cumsum([len(payload) for payload in payloads])  # of each payload, in bytes
    lengths = np.diff(last, prepend=-1)
    if data[ends - 1].max() >= 0x80 or lengths.max() > _LONGEST_NUMBER:
        return None
    numbers = data[last].astype(np.int64)
    for place in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > place)
        numbers[longer] = numbers[longer] << 7 | data[last[longer] - place] & 0x7F
    is_count = numbers & 1 == 0
    after = np.cumsum(np.where(is_count, 1, (numbers + 1) >> 1))  # buckets passed, over all payloads
    closing = np.searchsorted(last, ends - 1)  # number of each payload
    passed = after[closing]
    width = np.diff(passed, prepend=0)
    if width.max() > BUCKETS:
        return None
    after -= np.repeat(passed - width, np.diff(closing, prepend=-1))
    counted = np.flatnonzero(is_count & (numbers > 0))
    buckets = after[counted] - 1
    counts = numbers[counted] >> 1
    if counts.sum(dtype=np.float64) > _EXACT_SUM:
        return None
    sums = np.bincount(buckets, weights=counts)
    hit = np.flatnonzero(sums)
    made = Histogram()
    made.add_buckets(zip(hit.tolist(), sums[hit].astype(np.int64).tolist(), strict=True))
    return made


def _payload(text: str) -> bytes:
    """Return the bytes of the counts of a wire form.

    Raises:
        EvidenceError: it is none of ours, or it is damaged.
    """
    try:
        return _counts_of(base64.b64decode(text, validate=True))
    except (binascii.Error, struct.error, zlib.error, ValueError) as error:
        raise EvidenceError(f"A latency histogram cannot be read: {error}") from error


def _append_zigzag(payload: bytearray, value: int) -> None:
    """Append *value* as a zigzag LEB128 number."""
    rest = (value << 1) ^ (value >> 63)
    while rest > 0x7F:
        payload.append((rest & 0x7F) | 0x80)
        rest >>= 7
    payload.append(rest)


def _counts_of(raw: bytes) -> bytes:
    """Return the bytes of the counts after checking both headers."""
    cookie, length = _COMPRESSED_HEADER.unpack_from(raw)
    packed = raw[_COMPRESSED_HEADER.size :]
    if cookie != _COMPRESSED_COOKIE or length != len(packed):
        raise ValueError("it is no compressed HdrHistogram V2, or it was cut off")
    inflater = zlib.decompressobj()
    plain = inflater.decompress(packed, _MAX_PLAIN_BYTES)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("its compressed part is cut off, or larger than any histogram of ours")
    header = _PLAIN_HEADER.unpack_from(plain)
    counts = plain[_PLAIN_HEADER.size :]
    if header != (_PLAIN_COOKIE, len(counts), 0, 3, 1, HIGHEST_US, 1.0):
        raise ValueError("its layout is not three significant digits of microseconds up to an hour")
    return counts


def _buckets(counts: bytes) -> list[tuple[int, int]]:
    """Return the pairs of bucket index and count that zigzag LEB128 numbers spell."""
    buckets = []
    bucket = value = shift = 0
    for byte in counts:
        if byte >= 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            continue
        if shift:
            byte = value | byte << shift  # most numbers are of one byte
            value = shift = 0
        if byte & 1:
            bucket += (byte + 1) >> 1
        else:
            if byte:
                buckets.append((bucket, byte >> 1))
            bucket += 1
    if shift:
        raise ValueError("its last number is cut off")
    if bucket > BUCKETS:
        raise ValueError("it has more buckets than its layout")
    return buckets

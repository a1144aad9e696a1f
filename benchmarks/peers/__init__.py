"""The peers that benchmarks compare with, each driven as its users would."""

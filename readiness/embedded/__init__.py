"""An AWS on loopback: moto's API state under an overlay that makes its resources act."""

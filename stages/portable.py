"""Imported first by the stages whose outs are data: the same bytes on every x86-64 machine with AVX2."""

from mfnet.compute.portable import cap

cap()

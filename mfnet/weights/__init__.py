"""Weights that ship with the package, one safetensors file and one model card a network. No code."""

"""Fitting a head to landmarks and flow at test time: pose alone, or all parameters."""

"""The paper's losses: one file per family of equations, all in ndc units, so that weights do not depend on
resolution."""

"""The page that a run ends in: tables, plots and pictures in one file that opens without a network."""

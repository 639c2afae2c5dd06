"""The cohort: manifest, HER2 status, splits, flow of cases. Imports `tables` and the first library."""

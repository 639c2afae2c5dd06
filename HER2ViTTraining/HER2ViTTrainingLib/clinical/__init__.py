"""Table 1 and prognosis. Imports `cohort`, `stats`, `pages`, `tables`."""

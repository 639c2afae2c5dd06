"""Reading many cases, resumed where a run ended. Imports `cohort`, `parallel` and the first library."""

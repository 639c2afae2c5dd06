"""Reading many cases; an interrupted run resumes. Imports `cohort`, `parallel` and the first library."""

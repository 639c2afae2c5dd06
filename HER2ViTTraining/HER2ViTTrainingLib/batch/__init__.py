"""Reading many cases; an interrupted run resumes. Imports `evaluation`, `cohort`, `parallel`, the first library."""

"""The only place that speaks SQL: one module per task, one named statement per function. None of them commits."""

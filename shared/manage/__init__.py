"""`python -m shared.manage`: what operators and registrars look at and do while the system runs."""

"""The independent checker: facts in, violations out. Of the project it uses the reference model of the rules alone."""

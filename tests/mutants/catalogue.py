"""All planted bugs."""

from tests.mutants.at_the_edge import AT_THE_EDGE
from tests.mutants.in_postgresql import IN_POSTGRESQL
from tests.mutants.in_redis import IN_REDIS
from tests.mutants.in_the_rules import IN_THE_RULES
from tests.mutants.in_the_tests import IN_THE_TESTS

MUTANTS = (*IN_REDIS, *IN_POSTGRESQL, *IN_THE_RULES, *AT_THE_EDGE, *IN_THE_TESTS)

"""`python -m tests.runbooks.other_release VERSION MODULE …`: a program of ours as a release with another job form has it.

The next release writes the next version and reads its own and the one before; so does this, and nothing else differs.
"""

import runpy
import sys

from shared.course_queue import keys


def main() -> None:
    """Become that release, then run the module with the rest of the arguments."""
    version, module = int(sys.argv[1]), sys.argv[2]
    keys.JOB_VERSION = version
    keys.JOB_VERSIONS_READ = frozenset({version - 1, version})
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

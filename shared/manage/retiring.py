"""`manage retire-queues`: take what is empty and forgotten out of RQ's set of queues."""

from shared.course_queue.rounds import CourseQueues
from shared.manage.parts import running_system, tell_wrong_keys
from shared.manage.terminal import say

AT_ONCE = 500


def retire_queues() -> None:
    """Take queues that are empty and have nothing left to show off RQ's list, so that dashboards stay quick.

    Workers do so by themselves, each for the courses it owns; this does it where no worker runs. It touches no request.
    """
    with running_system() as parts:
        queues = CourseQueues(parts.redis, parts.settings, "manage")
        shown = sorted(queues.queued_courses())
        retired = sum(
            queues.retire(shown[start : start + AT_ONCE]) for start in range(0, len(shown), AT_ONCE)
        )
        tell_wrong_keys(queues.wrong_keys)
        say(f"{retired} of {len(shown)} queues retired")

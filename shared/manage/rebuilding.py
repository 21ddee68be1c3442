"""`manage rebuild-queue`: mend a course whose keys in Redis somebody overwrote or deleted."""

from typing import Annotated

import typer

from shared.course_queue.rebuilding import rebuild_course, waiting_jobs
from shared.database import reading
from shared.manage.choice import chosen_course
from shared.manage.parts import running_system
from shared.manage.terminal import say
from shared.store import inspection


def rebuild_queue(
    name: Annotated[list[str], typer.Argument(help="Its id, its external id, or its code and section.")],
    semester: Annotated[str | None, typer.Option(help="The semester's name, where several have it.")] = None,
) -> None:
    """Put a course's waiting requests back into its queue, in their order, where it was overwritten or lacks them.

    Mends the course's counters and its shard's list of ready courses as well. What is as it should be stays as it is;
    API and workers may run. Exit code 2 if no course, or more than one, is meant.
    """
    with running_system() as parts:
        with reading(parts.engine) as connection:
            course_id = str(chosen_course(connection, " ".join(name), semester).id)
        jobs = waiting_jobs(parts.redis, course_id)
        with reading(parts.engine) as connection:
            decided = inspection.highest_sequence(connection, course_id)
        rebuilt = rebuild_course(parts.redis, course_id, parts.shards(), jobs, decided)
        say(f"{rebuilt.put_back} requests were put back into the queue.")
        if rebuilt.counters_mended:
            say("The course's counters were mended.")
        if rebuilt.ready_mended:
            say("The shard's list of ready courses was mended.")

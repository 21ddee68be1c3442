"""`python -m shared.manage COMMAND`: one program, a module for each command."""

import typer

from shared import audit
from shared.manage import course, drain, pausing, rebuilding, request, retiring, top

app = typer.Typer(
    help=(
        "Look at a running registration system and operate it.\n\n"
        "It reads the same environment as the API and the workers. Exit codes: 0 all is well or done, 1 something is"
        " not as wished, 2 there is no such thing, 3 Redis, PostgreSQL or the configuration is not in order."
    ),
    no_args_is_help=True,
    # Otherwise help breaks its lines where the sources do.
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("top")(top.top)
app.command("request")(request.request)
app.command("course")(course.course)
app.command("pause")(pausing.pause)
app.command("resume")(pausing.resume)
app.command("drain")(drain.drain)
app.command("audit")(audit.main)
app.command("rebuild-queue")(rebuilding.rebuild_queue)
app.command("retire-queues")(retiring.retire_queues)

if __name__ == "__main__":
    app(prog_name="python -m shared.manage")

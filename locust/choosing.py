"""What a run can be told: options with their variables, and scenarios by tag."""

from argparse import ArgumentParser
from typing import Any

from locust import User, events
from locust.env import Environment


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """Our own options; the page shows them as well, and a master hands its values on to its workers."""

    def add(name: str, default: Any, meaning: str, **more: Any) -> None:
        variable = "LOCUST" + name.replace("--", "_").replace("-", "_").upper()
        parser.add_argument(name, env_var=variable, default=default, help=meaning, **more)

    add("--students", "STU001", "One student number, or a pattern such as LOAD%%06d.")
    add("--student-count", 1000, "With a pattern: the numbers run from 1 up to this.", type=int)
    add("--password", "test123", "The password that they share.", is_secret=True)
    add("--tokens", "", "A CSV file of student_number,token: those take part, without logging in.")
    add("--semester", "", "Only courses of the semester of that name; by default of every open one.")
    add("--hot-share", 0.2, "Which part of a rush wants the one hot course.", type=float)
    add("--zipf-exponent", 1.0, "How unevenly the other courses are wanted; 0 is all alike.", type=float)
    add("--finish-limit-s", 60.0, "How long after the run accepted requests may take to end.", type=float)


@events.init.add_listener
def keep_tagged(environment: Environment, **_event: object) -> None:
    """Leave out the scenarios that `--tags` or `--exclude-tags` leave without a task, which Locust would trip over."""
    wanted = set(environment.parsed_options.tags or ())
    unwanted = set(environment.parsed_options.exclude_tags or ())
    kept = [
        each
        for each in environment.user_classes
        if (not wanted or wanted & tags_of(each)) and not unwanted & tags_of(each)
    ]
    if not kept:
        message = f"no scenario has a tag of {sorted(wanted)} and none of {sorted(unwanted)}"
        raise ValueError(message)
    environment.user_classes[:] = kept


def tags_of(user_class: type[User]) -> set[str]:
    """The tags of a scenario's tasks."""
    return {tag for each in user_class.tasks for tag in getattr(each, "locust_tag_set", ())}

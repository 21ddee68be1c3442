"""How many users there are on opening morning: early birds, the rush, staying power, stragglers."""

from typing import ClassVar

from locust import LoadTestShape

LENGTH_S = 300.0
PEAK_USERS = 200
RUSH_S = 2.0


class OpeningMorning(LoadTestShape):
    """`-u` is the height and `-t` the length of the morning; `-r` has no say in it."""

    use_common_options = True

    stages: ClassVar = [(0.15, 0.05), (0.50, 1.00), (0.75, 0.50), (0.90, 0.20), (1.00, 0.05)]
    """Until which part of the morning there is which part of the users."""

    def tick(self) -> tuple[int, float] | None:
        """Called by Locust every second: users and how fast to get there; None at the end."""
        options = self.runner.environment.parsed_options
        peak, length_s = options.num_users or PEAK_USERS, options.run_time or LENGTH_S
        for until, height in self.stages:
            if self.get_run_time() < until * length_s:
                return max(1, round(height * peak)), max(1.0, peak / RUSH_S)
        return None

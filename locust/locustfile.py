"""Opening morning as Locust plays it: one class of users per scenario, chosen by tag, mixed by weight.

    python -m locust -f locust/locustfile.py --headless -u 200 -r 100 -t 60s --stop-timeout 30 -H http://127.0.0.1:8500

Tags for `--tags`: rush, browse, drop-wave, refresh, login, impatient. `--help` shows this file's own options at its end.
With LOCUST_SHAPE=opening-morning the number of users follows such a morning, with `-u` as its height and `-t` as its length.

How to read the report: `register end to end` and `drop end to end` count from the planned submit until the outcome is known,
pauses that the server asked for included. Rows of type OUTCOME split the same times by what came out; a refusal such as
`course_full` is an outcome, not a failure. Rows of type PUT OFF count the answers 429 and 503 that said when to come back.
A failure is whatever the API does not promise: other statuses, FAILED, or no outcome in time. After the run the server is
asked about everything it has accepted (rows of type CHECK); what is not final by then fails the run: exit code 1.
"""

import os

import choosing  # noqa: F401 - listens to Locust's events
import finishing  # noqa: F401 - the same
from browsing import Browser
from drop_wave import Dropper
from impatience import Impatient
from logging_in import Latecomer
from refreshing import Refresher
from rush import Rusher

__all__ = ["Browser", "Dropper", "Impatient", "Latecomer", "Refresher", "Rusher"]

# A shape that is merely imported takes the place of -u and -r, so only who asks for it gets it.
if os.environ.get("LOCUST_SHAPE") == "opening-morning":
    from opening_morning import OpeningMorning

    __all__ += ["OpeningMorning"]

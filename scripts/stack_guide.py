"""What the local stack tells people once it is up: addresses, logins, and a first registration to copy."""

import shlex
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape

from scripts.stack_plan import ENVIRONMENT_FILE, LOG_DIR, Ports

# Only what every shell has: no jq. `value NAME` prints the first string of that name in a JSON document.
EXAMPLE = r"""
API=http://localhost:{port}
value() {{ grep -oE "\"$1\": ?\"[^\"]+\"" | head -n 1 | cut -d '"' -f 4; }}
TOKEN=$(curl -s $API/auth/login -H 'Content-Type: application/json' \
  -d '{{"student_number": "STU001", "password": "test123"}}' | value access_token)
SEMESTER=$(curl -s $API/semesters/ | value id)
COURSE=$(curl -s "$API/semesters/$SEMESTER/courses" | value id)
REQUEST=$(curl -s -X POST $API/courses/$COURSE/register -H "Authorization: Bearer $TOKEN" | value request_id)
curl -s "$API/requests/$REQUEST?wait=10" -H "Authorization: Bearer $TOKEN"; echo
curl -s $API/semesters/$SEMESTER/my-courses -H "Authorization: Bearer $TOKEN"; echo
"""


def print_guide(console: Console, ports: Ports, environment: Mapping[str, str]) -> None:
    """Print where everything is."""
    api = f"http://localhost:{ports.api}"
    user, password = environment["RQ_DASHBOARD_USERNAME"], environment["RQ_DASHBOARD_PASSWORD"]
    lines = {
        "API": f"{api}/docs",
        "Metrics": ", ".join([f"{api}/metrics", *(f"http://localhost:{port}/" for port in ports.metrics)]),
        "RQ dashboard": f"http://localhost:{ports.dashboard}/  (user {user}, password {password})",
        "Demo login": "STU001 / test123",
        "Logs": str(LOG_DIR),
        "Other commands": f"set -a; . {shlex.quote(str(ENVIRONMENT_FILE))}; set +a",
    }
    console.print("\n[bold]The course registration system is up.[/bold]")
    for title, text in lines.items():
        console.print(f"  {title:<14} {escape(text)}")
    console.print("\n[bold]Register for a course[/bold] (paste into another terminal):")
    console.print(EXAMPLE.format(port=ports.api), markup=False)
    console.print("Ctrl-C stops everything.")

"""Bugs in how requests get into their queues and leave them: order, loss, repetition."""

from tests.mutants.mutant import Edit, Mutant, mutant

ACCEPT_LUA = "shared/course_queue/lua/accept.lua"
FINISH_LUA = "shared/course_queue/lua/finish.lua"
PEEK_LUA = "shared/course_queue/lua/peek.lua"
CLAIM_SHARDS_LUA = "shared/course_queue/lua/claim_shards.lua"
ACCEPTING = "shared/course_queue/accepting.py"
REPLICAS = "shared/course_queue/replicas.py"
ROUNDS = "shared/course_queue/rounds.py"
CONNECTION = "shared/course_queue/connection.py"
WORKER = "worker/registration_worker.py"

ACCEPT_TESTS = "tests/integration/test_accept_script.py"
ACCEPTOR_TESTS = "tests/integration/test_acceptor.py"
FINISH_TESTS = "tests/integration/test_finish_script.py"
PEEK_TESTS = "tests/integration/test_peek_script.py"
REPLICA_TESTS = "tests/integration/test_replicas.py"
WRONG_TYPES = "tests/integration/test_wrong_types.py"

PEEKED = '        took_s, worked = watch.lap("peek"), False\n'
FINALLY = "        finally:\n            self._wait_for_publishing()\n        return worked\n"
REQUEUE_AND_RAISE = (
    "        except SQLAlchemyError:\n"
    "            for entry in entries:\n"
    "                self.connection.lrem(keys.queue(entry.course_id), 1, entry.raw_id)\n"
    "                self.connection.rpush(keys.queue(entry.course_id), entry.raw_id)\n"
    "            raise\n"
)
PUSH_BY_THE_API = (
    Edit(ACCEPT_LUA, "  redis.call('RPUSH', queue, request)\n", ""),
    Edit(
        ACCEPTING,
        "        for (_, future), answer in zip(batch, answers, strict=True):\n",
        "        for (asked, _), answer in zip(batch, answers, strict=True):\n"
        "            if answer[0] == b'accepted':\n"
        "                await self._client.rpush(keys.queue(asked.course_id), answer[1])\n"
        "        for (_, future), answer in zip(batch, answers, strict=True):\n",
    ),
)

IN_REDIS = (
    mutant(
        "pop instead of peek",
        f"{PEEK_TESTS}::test_a_peek_takes_nothing_off",
        PEEK_LUA,
        "ipairs(redis.call('LRANGE', 'rq:queue:course-' .. ARGV[i + 1], 0, parts[i] - 1))",
        "ipairs(redis.call('LPOP', 'rq:queue:course-' .. ARGV[i + 1], parts[i]) or {})",
    ),
    mutant(
        "remove before commit",
        "tests/faults/test_round.py::test_until_a_round_is_committed_its_requests_stand_in_their_queue",
        WORKER,
        PEEKED,
        "        for entry in entries:\n"
        "            self.connection.lrem(keys.queue(entry.course_id), 1, entry.raw_id)\n" + PEEKED,
    ),
    mutant(
        "remove by count",
        f"{FINISH_TESTS}::test_removal_is_by_identity_not_by_count",
        FINISH_LUA,
        "try('LREM', 'rq:queue:course-' .. course, 1, element)",
        "try('LPOP', 'rq:queue:course-' .. course)",
    ),
    mutant(
        "requeue at the tail on error",
        "tests/faults/test_round.py::test_after_an_error_the_queue_stands_as_it_stood",
        WORKER,
        FINALLY,
        REQUEUE_AND_RAISE + FINALLY,
    ),
    mutant(
        "requeue at the tail on error, in some history",
        "tests/faults/test_any_history.py::test_any_history_ends_as_the_reference_model_says",
        WORKER,
        FINALLY,
        REQUEUE_AND_RAISE + FINALLY,
    ),
    Mutant(
        "sequence and push not atomic",
        f"{ACCEPTOR_TESTS}::test_two_api_processes_at_one_course_leave_no_gap_and_no_disorder",
        PUSH_BY_THE_API,
        saying="gap or disorder",
    ),
    Mutant(
        "sequence and push not atomic, and the API cut off in between",
        f"{ACCEPTOR_TESTS}::test_an_api_process_cut_off_as_soon_as_redis_has_heard_it_leaves_no_gap",
        PUSH_BY_THE_API,
        saying="gap or disorder",
    ),
    mutant(
        "everysec while claiming durability",
        "tests/integration/test_durability.py::test_a_redis_that_may_lose_requests_is_refused_with_the_setting_named",
        CONNECTION,
        '"appendfsync": "always", ',
        "",
    ),
    mutant(
        "the containers' Redis on everysec",
        "tests/unit/test_compose.py::test_redis_has_every_setting_that_the_api_insists_on",
        "docker-compose.yml",
        "      - --appendfsync\n      - always\n",
        "      - --appendfsync\n      - everysec\n",
    ),
    mutant(
        "missing payload skipped",
        f"{PEEK_TESTS}::test_a_job_that_is_gone_or_no_job_is_poisoned_and_keeps_nobody_else_from_being_read",
        ROUNDS,
        "        entry = read_entry(course_id, raw_id, data)\n",
        "        if data is None:\n            continue\n        entry = read_entry(course_id, raw_id, data)\n",
    ),
    mutant(
        "a request of another release poisoned",
        "tests/unit/test_read_entry.py::test_a_request_of_another_release_is_neither_read_nor_poisoned",
        ROUNDS,
        "        raise _OtherReleaseError\n",
        "        raise ValueError\n",
    ),
    mutant(
        "a request of another release passed over",
        f"{PEEK_TESTS}::test_a_course_is_read_up_to_the_first_request_of_another_release",
        ROUNDS,
        "            held.add(course_id)\n            return\n",
        "            held.add(course_id)\n            continue\n",
    ),
    mutant(
        "a pause overlooked",
        f"{PEEK_TESTS}::test_while_the_workers_are_paused_no_course_is_ready",
        ROUNDS,
        "        if self.paused or not ready:\n",
        "        if not ready:\n",
    ),
    mutant(
        "any version waited for",
        "tests/unit/test_read_entry.py::test_a_version_of_no_release_beside_this_one_is_poisoned",
        ROUNDS,
        "    if version == keys.JOB_VERSION + 1:\n",
        "    if version not in keys.JOB_VERSIONS_READ:\n",
    ),
    mutant(
        "a hostile job run",
        "tests/faults/test_poison.py::test_poison_alone_at_the_head_blocks_nobody",
        ROUNDS,
        "    function, instance, positional, payload = json.loads(data)\n",
        "    function, instance, positional, payload = json.loads(data)\n"
        "    if positional:\n"
        "        __import__('rq.utils').utils.import_attribute(function)(*positional)\n",
        saying="a hostile job was run",
    ),
    mutant(
        "a wrong type noticed after the push",
        f"{WRONG_TYPES}::test_an_accept_that_meets_a_wrong_type_writes_nothing_and_asked_again_is_one_request",
        ACCEPT_LUA,
        "  local known_ready = read('SISMEMBER', ready, course_id) == 1\n",
        "  local known_ready = false\n",
    ),
    mutant(
        "a wrong type ends the finishing of a round",
        f"{WRONG_TYPES}::test_a_wrong_type_keeps_nothing_else_of_the_round_from_being_finished_and_published",
        FINISH_LUA,
        "  local reply = redis.pcall(command, key, ...)\n",
        "  local reply = redis.call(command, key, ...)\n",
    ),
    mutant(
        "any function taken from a job",
        "tests/unit/test_read_entry.py::test_only_our_one_function_is_taken",
        ROUNDS,
        "if function != keys.JOB_FUNCTION or instance is not None or positional:",
        "if instance is not None or positional:",
    ),
    mutant(
        "a request of another course taken for one of this",
        "tests/unit/test_read_entry.py::test_an_entry_of_another_course_or_request_gets_an_id_of_its_own",
        ROUNDS,
        'if request_id.encode() != raw_id or payload["course_id"] != course_id:',
        "if request_id.encode() != raw_id:",
    ),
    mutant(
        "idempotency key ignored",
        f"{ACCEPT_TESTS}::test_the_same_idempotency_key_is_the_same_request",
        ACCEPTING,
        '"" if key is None else keys.idempotency(asked.student_id, key)',
        '""',
    ),
    mutant(
        "a key reused for something else not noticed",
        f"{ACCEPT_TESTS}::test_the_same_key_for_another_request_is_a_conflict",
        ACCEPT_LUA,
        "what == operation .. ' ' .. course_id and repeated(found) or {'key_conflict', found}",
        "repeated(found)",
    ),
    mutant(
        "a call sent again after a lost reply accepted twice",
        f"{ACCEPT_TESTS}::test_the_same_call_sent_again_after_a_lost_reply_is_not_accepted_twice",
        ACCEPT_LUA,
        "if redis.call('EXISTS', job) == 1 then",
        "if false then",
    ),
    mutant(
        "a repeat answered without the replicas",
        f"{REPLICA_TESTS}::test_a_repeat_waits_for_the_replicas_of_what_it_repeats",
        ACCEPT_LUA,
        "  if replicas > 0 then\n",
        "  if false then\n",
    ),
    mutant(
        "replicas asked for their disks before they can know",
        f"{REPLICA_TESTS}::test_an_accepted_request_is_on_the_replica",
        REPLICAS,
        '        pipeline.execute_command("WAIT", settings.accept_replicas, received_ms)\n',
        "",
    ),
    mutant(
        "queue limit checked after the first write",
        f"{ACCEPT_TESTS}::test_a_full_queue_refuses_without_writing_and_tells_how_long_it_is",
        ACCEPT_LUA,
        "  local length = read('LLEN', queue)\n",
        "  redis.call('HINCRBY', course, 'sequence', 1)\n  local length = read('LLEN', queue)\n",
    ),
    mutant(
        "a course no longer ready while requests wait",
        f"{FINISH_TESTS}::test_a_course_stays_ready_until_its_queue_is_empty",
        FINISH_LUA,
        "  if redis.call('EXISTS', queue) == 0 then\n",
        "  if true then\n",
    ),
    mutant(
        "another number of shards taken while requests wait",
        "tests/integration/test_shards.py::test_another_number_is_refused_while_a_request_waits",
        CLAIM_SHARDS_LUA,
        "      count = count + redis.call('EXISTS', 'rq:queue:course-' .. course)\n",
        "",
    ),
    mutant(
        "outcomes never published",
        f"{FINISH_TESTS}::test_the_outcomes_of_a_round_are_published_in_one_message_in_order",
        FINISH_LUA,
        "redis.call('PUBLISH', ARGV[7], '[' .. table.concat(outcomes, ',') .. ']')\n",
        "",
    ),
)

#!lua flags=allow-oom
-- Take requests off their queues after their ledger rows are committed (rule A), show them as ended RQ jobs and
-- publish their outcomes. Removal is by identity, so doing it twice changes nothing. It may run at maxmemory: it frees.
-- ARGV: now (s), now (RQ's format), worker, finished ttl (s), failed ttl (s), pace (us), outcomes channel, function,
--       then per request: list element, request, course, shard, student, sequence, outcome, RQ's error or ''
-- Returns what was wrong with keys: a text for each command that one of a wrong type has refused.
local now, now_text, worker, pace = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[6]
local finished_ttl, failed_ttl = tonumber(ARGV[4]), tonumber(ARGV[5])
local outcomes, applied, shards, finished, wrong = {}, {}, {}, {}, {}

-- A key that somebody overwrote keeps nothing else from being written, nor any outcome from being told. Whatever else
-- Redis refuses is no matter of one key: then nothing more is done, and the worker tries again.
local function try(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if not string.find(reply.err, 'WRONGTYPE', 1, true) then
      error(reply)
    end
    wrong[#wrong + 1] = key .. ': ' .. reply.err
  end
  return reply
end

-- RQ shows the `result` of a finished job from here. Its stream of results would cost more than all the rest.
local function end_job(job, status, outcome, ttl)
  redis.call('HSET', job, 'status', status, 'result', outcome, 'ended_at', now_text, 'worker_name', worker)
  redis.call('EXPIRE', job, ttl)
end

-- What has expired meanwhile, or is no job, is not brought back.
local function finish(request, course, outcome)
  local job = 'rq:job:' .. request
  if redis.call('TYPE', job).ok == 'hash' then
    end_job(job, 'finished', outcome, finished_ttl)
    finished[course] = finished[course] or {}
    table.insert(finished[course], now + finished_ttl)
    table.insert(finished[course], request)
  end
end

-- A failed entry may have had no job, or something else in its place: ops shall see it all the same, with its error.
local function fail(request, course, outcome, error)
  local job, results, registry = 'rq:job:' .. request, 'rq:results:' .. request, 'rq:failed:course-' .. course
  if redis.call('TYPE', job).ok ~= 'hash' then
    redis.call('DEL', job)
  end
  redis.call('HSETNX', job, 'data', '["' .. ARGV[8] .. '",null,[],{}]')
  redis.call('HSETNX', job, 'created_at', now_text)
  redis.call('HSETNX', job, 'origin', 'course-' .. course)
  redis.call('HSETNX', job, 'description', 'not a request')
  end_job(job, 'failed', outcome, failed_ttl)
  redis.call('DEL', results)
  redis.call('XADD', results, '*', 'type', 2, 'worker_name', worker, 'exc_string', error)
  redis.call('EXPIRE', results, failed_ttl)
  try('ZADD', registry, now + failed_ttl, request)
  redis.call('EXPIRE', registry, failed_ttl)
end

for i = 9, #ARGV, 8 do
  local element, request, course, shard, student, sequence, outcome, error = unpack(ARGV, i, i + 7)
  try('LREM', 'rq:queue:course-' .. course, 1, element)
  if student ~= '' then
    try('HDEL', 'cr:student:' .. student, request)
  end
  if error == '' then
    finish(request, course, outcome)
  else
    fail(request, course, outcome, error)
  end
  outcomes[#outcomes + 1] = outcome
  applied[course] = math.max(applied[course] or 0, tonumber(sequence))
  shards[course] = shard
end

for course, sequence in pairs(applied) do
  local queue, counters = 'rq:queue:course-' .. course, 'cr:course:' .. course
  local registry = 'rq:finished:course-' .. course
  if sequence > (tonumber(try('HGET', counters, 'applied') or 0) or 0) then
    try('HSET', counters, 'applied', sequence, 'pace_us', pace)
  end
  try('ZREMRANGEBYSCORE', registry, '-inf', now)
  if finished[course] then
    try('ZADD', registry, unpack(finished[course]))
    redis.call('EXPIRE', registry, finished_ttl)
  end
  if redis.call('EXISTS', queue) == 0 then
    try('SREM', 'cr:ready:' .. shards[course], course)
  end
end
redis.call('PUBLISH', ARGV[7], '[' .. table.concat(outcomes, ',') .. ']')
return wrong

#!lua flags=allow-oom
-- Take requests off their queues after their ledger rows are committed (rule A), show them as ended RQ jobs and
-- publish their outcomes. Removal is by identity, so doing it twice changes nothing. It may run at maxmemory: it frees.
-- ARGV: now (s), now (RQ's format), worker, finished ttl (s), failed ttl (s), pace (us), outcomes channel, function,
--       then per request: list element, request, course, shard, student, sequence, job status, outcome, RQ's result
-- Returns how many there were.
local now, now_text, worker, pace = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[6]
local outcomes, applied, shards = {}, {}, {}

local ENDINGS = {
  finished = {ttl = tonumber(ARGV[4]), registry = 'rq:finished:course-', kind = 1, field = 'return_value'},
  failed = {ttl = tonumber(ARGV[5]), registry = 'rq:failed:course-', kind = 2, field = 'exc_string'},
}

-- A failed entry may have had no job, or something else in its place: ops shall see it all the same.
local function mend_job(job, course)
  if redis.call('TYPE', job).ok ~= 'hash' then
    redis.call('DEL', job)
  end
  redis.call('HSETNX', job, 'data', '["' .. ARGV[8] .. '",null,[],{}]')
  redis.call('HSETNX', job, 'created_at', now_text)
  redis.call('HSETNX', job, 'origin', 'course-' .. course)
  redis.call('HSETNX', job, 'description', 'not a request')
end

local function end_job(request, course, status, outcome, result)
  local job, ending = 'rq:job:' .. request, ENDINGS[status]
  if status == 'failed' then
    mend_job(job, course)
  elseif redis.call('TYPE', job).ok ~= 'hash' then
    return
  end
  redis.call('HSET', job, 'status', status, 'outcome', outcome, 'ended_at', now_text, 'worker_name', worker)
  redis.call('EXPIRE', job, ending.ttl)
  local results = 'rq:results:' .. request
  redis.call('DEL', results)
  redis.call('XADD', results, '*', 'type', ending.kind, 'worker_name', worker, ending.field, result)
  redis.call('EXPIRE', results, ending.ttl)
  redis.call('ZADD', ending.registry .. course, now + ending.ttl, request)
  redis.call('EXPIRE', ending.registry .. course, ending.ttl)
end

for i = 9, #ARGV, 9 do
  local element, request, course, shard, student, sequence, status, outcome, result = unpack(ARGV, i, i + 8)
  redis.call('LREM', 'rq:queue:course-' .. course, 1, element)
  if student ~= '' then
    redis.call('HDEL', 'cr:student:' .. student, request)
  end
  end_job(request, course, status, outcome, result)
  outcomes[#outcomes + 1] = outcome
  applied[course] = math.max(applied[course] or 0, tonumber(sequence))
  shards[course] = shard
end

for course, sequence in pairs(applied) do
  local queue, counters = 'rq:queue:course-' .. course, 'cr:course:' .. course
  if sequence > tonumber(redis.call('HGET', counters, 'applied') or 0) then
    redis.call('HSET', counters, 'applied', sequence, 'pace_us', pace)
  end
  redis.call('ZREMRANGEBYSCORE', 'rq:finished:course-' .. course, '-inf', now)
  if redis.call('EXISTS', queue) == 0 then
    redis.call('SREM', 'cr:ready:' .. shards[course], course)
  end
end
redis.call('PUBLISH', ARGV[7], '[' .. table.concat(outcomes, ',') .. ']')
return #outcomes

-- Accept one request, or find the one it repeats. Atomic and idempotent: every check comes before the first write.
-- KEYS: queue, course, job, student, ready, queues, generation [, idempotency]
-- ARGV: request, course id, student id, operation, function, version, queue name, description, created at,
--       queue limit, student limit, idempotency ttl (s), wake channel, failed ttl (s)
-- Returns {code, request, sequence, accepted at (us), requests ahead, pace (us)}; the numbers only for 'accepted'
-- and, as {code, '', 0, 0, waiting, pace}, for 'queue_full'.
local queue, course, job, student, ready, queues, generation_key, idempotency = unpack(KEYS)
local request, course_id, student_id, operation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function remember(found)
  if idempotency then
    redis.call('SET', idempotency, found .. ' ' .. operation .. ' ' .. course_id, 'EX', ARGV[12])
  end
end

if idempotency then
  local kept = redis.call('GET', idempotency)
  if kept then
    local found, what = string.match(kept, '^(%S+) (.+)$')
    if what ~= operation .. ' ' .. course_id then
      return {'key_conflict', found}
    end
    return {'repeated', found}
  end
end

-- Our own client library sends again when a reply is lost.
if redis.call('EXISTS', job) == 1 then
  return {'repeated', request}
end

-- Only the student's newest waiting request for the course can be repeated: after register, drop, a register is new.
-- An entry whose job does not wait is left over from a request that was lost or could not be read: it counts for nothing.
local entries = redis.call('HGETALL', student)
local waiting, newest, leftovers = 0, nil, {}
for i = 1, #entries, 2 do
  local id = entries[i]
  local of_course, what, sequence = string.match(entries[i + 1], '^(%S+) (%S+) (%d+)$')
  sequence = tonumber(sequence)
  if redis.pcall('HGET', 'rq:job:' .. id, 'status') ~= 'queued' then
    leftovers[#leftovers + 1] = id
  else
    waiting = waiting + 1
    if of_course == course_id and (not newest or sequence > newest.sequence) then
      newest = {id = id, operation = what, sequence = sequence}
    end
  end
end
if newest and newest.operation == operation then
  remember(newest.id)
  return {'repeated', newest.id}
end

local state = redis.call('HMGET', course, 'applied', 'pace_us')
local applied, pace = tonumber(state[1] or 0), tonumber(state[2] or 0)
if waiting >= tonumber(ARGV[11]) then
  return {'student_limit', ''}
end
local length = redis.call('LLEN', queue)
if length >= tonumber(ARGV[10]) then
  return {'queue_full', '', 0, 0, length, pace}
end

-- A life of the data is named after its first request.
local generation = redis.call('GET', generation_key)
if not generation then
  generation = request
  redis.call('SET', generation_key, generation)
end
local sequence = redis.call('HINCRBY', course, 'sequence', 1)
local now = redis.call('TIME')
local accepted_at = string.format('%d%06d', now[1], now[2])
local data = '["' .. ARGV[5] .. '",null,[],{"version":' .. ARGV[6] .. ',"request_id":"' .. request
  .. '","course_id":"' .. course_id .. '","student_id":"' .. student_id .. '","operation":"' .. operation
  .. '","generation":"' .. generation .. '","sequence":' .. sequence .. ',"accepted_at_us":' .. accepted_at .. '}]'
redis.call('HSET', job, 'data', data, 'origin', ARGV[7], 'status', 'queued', 'created_at', ARGV[9],
  'enqueued_at', ARGV[9], 'description', ARGV[8] .. ' #' .. sequence, 'timeout', 180, 'failure_ttl', ARGV[14])
redis.call('RPUSH', queue, request)
redis.call('SADD', queues, queue)
if #leftovers > 0 then
  redis.call('HDEL', student, unpack(leftovers))
end
redis.call('HSET', student, request, course_id .. ' ' .. operation .. ' ' .. sequence)
remember(request)
-- A shard with work at hand needs no hint.
if redis.call('SADD', ready, course_id) == 1 and redis.call('SCARD', ready) == 1 then
  redis.call('PUBLISH', ARGV[13], course_id)
end
return {'accepted', request, sequence, accepted_at, math.max(0, sequence - applied - 1), pace}

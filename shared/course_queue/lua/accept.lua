-- Accept requests, one after the other, or find those they repeat. Each is atomic and idempotent: every check comes
-- before its first write, and what is wrong with one is no other's trouble.
-- ARGV: now (RQ's format), function, version, queue limit, student limit, idempotency ttl (s), failed ttl (s), replicas,
--       then per request: request, course, shard, student, operation, title, idempotency key or ''
-- Returns per request {code, request, sequence, accepted at (us), requests ahead, pace (us)}; the numbers only for
-- 'accepted' and, as {code, '', 0, 0, waiting, pace}, for 'queue_full'; {'error', message} when Redis refused a key,
-- which the message names if it holds something else than it should.
local now, job_function, version, failed_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[7]
local queue_limit, student_limit, idempotency_ttl = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local replicas = tonumber(ARGV[8])
local time = redis.call('TIME')
local accepted_at = string.format('%d%06d', time[1], time[2])

-- A key that somebody overwrote is named: Redis itself says only that it has the wrong type.
local function read(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    error(key .. ': ' .. reply.err, 0)
  end
  return reply
end

-- The wait for replicas that follows is for the last write of its own connection. A repeat comes on any connection, so
-- that it has to write something, or it would be answered before they have what it repeats.
local function repeated(request)
  if replicas > 0 then
    redis.call('SET', 'cr:repeated', accepted_at)
  end
  return {'repeated', request}
end

-- What a student has waiting: how much, the newest of it for a course, and what is left over from requests that were lost
-- or could not be read, whose jobs do not wait; that counts for nothing.
local function waiting_of(student, course_id)
  local entries = read('HGETALL', student)
  local count, newest, leftovers = 0, nil, {}
  for i = 1, #entries, 2 do
    local id = entries[i]
    local of_course, operation, sequence = string.match(entries[i + 1], '^(%S+) (%S+) (%d+)$')
    sequence = tonumber(sequence)
    if redis.pcall('HGET', 'rq:job:' .. id, 'status') ~= 'queued' then
      leftovers[#leftovers + 1] = id
    else
      count = count + 1
      if of_course == course_id and (not newest or sequence > newest.sequence) then
        newest = {id = id, operation = operation, sequence = sequence}
      end
    end
  end
  return count, newest, leftovers
end

-- A life of the data is named after its first request.
local function generation_or(request)
  local generation = read('GET', 'cr:generation')
  if not generation then
    generation = request
    redis.call('SET', 'cr:generation', generation)
  end
  return generation
end

local function accept(request, course_id, shard, student_id, operation, title, idempotency)
  local queue, course = 'rq:queue:course-' .. course_id, 'cr:course:' .. course_id
  local job, student, ready = 'rq:job:' .. request, 'cr:student:' .. student_id, 'cr:ready:' .. shard

  local function remember(found)
    if idempotency ~= '' then
      redis.call('SET', idempotency, found .. ' ' .. operation .. ' ' .. course_id, 'EX', idempotency_ttl)
    end
  end

  local kept = idempotency ~= '' and read('GET', idempotency)
  if kept then
    local found, what = string.match(kept, '^(%S+) (.+)$')
    return what == operation .. ' ' .. course_id and repeated(found) or {'key_conflict', found}
  end
  -- Our own client library sends again when a reply is lost.
  if redis.call('EXISTS', job) == 1 then
    return repeated(request)
  end
  -- Only the student's newest waiting request for the course can be repeated: after register, drop, a register is new.
  local waiting, newest, leftovers = waiting_of(student, course_id)
  if newest and newest.operation == operation then
    remember(newest.id)
    return repeated(newest.id)
  end
  if waiting >= student_limit then
    return {'student_limit', ''}
  end
  local state = read('HMGET', course, 'applied', 'pace_us', 'sequence')
  local applied, pace = tonumber(state[1] or 0) or 0, tonumber(state[2] or 0) or 0
  -- Redis would find out only when the first key has been written.
  if state[3] and (#state[3] > 15 or not string.match(state[3], '^%d+$')) then
    error(course .. ': its sequence is no number', 0)
  end
  local length = read('LLEN', queue)
  if length >= queue_limit then
    return {'queue_full', '', 0, 0, length, pace}
  end

  -- Every key that is written below has been read above or is read here: one of a wrong type fails before the first
  -- write. After the push it would be an error for a request that stands in its queue, and asked again.
  local listed = read('SISMEMBER', 'rq:queues', queue) == 1
  local known_ready = read('SISMEMBER', ready, course_id) == 1
  local generation = generation_or(request)
  local sequence = redis.call('HINCRBY', course, 'sequence', 1)
  local data = '["' .. job_function .. '",null,[],{"version":' .. version .. ',"request_id":"' .. request
    .. '","course_id":"' .. course_id .. '","student_id":"' .. student_id .. '","operation":"' .. operation
    .. '","generation":"' .. generation .. '","sequence":' .. sequence .. ',"accepted_at_us":' .. accepted_at .. '}]'
  redis.call('HSET', job, 'data', data, 'origin', 'course-' .. course_id, 'status', 'queued', 'created_at', now,
    'enqueued_at', now, 'description', operation .. ' ' .. title .. ' #' .. sequence, 'timeout', 180,
    'failure_ttl', failed_ttl)
  redis.call('RPUSH', queue, request)
  if not listed then
    redis.call('SADD', 'rq:queues', queue)
  end
  if #leftovers > 0 then
    redis.call('HDEL', student, unpack(leftovers))
  end
  redis.call('HSET', student, request, course_id .. ' ' .. operation .. ' ' .. sequence)
  remember(request)
  -- A shard with work at hand needs no hint.
  if not known_ready and redis.call('SADD', ready, course_id) == 1 and redis.call('SCARD', ready) == 1 then
    redis.call('PUBLISH', 'cr:wake:' .. shard, course_id)
  end
  return {'accepted', request, sequence, accepted_at, math.max(0, sequence - applied - 1), pace}
end

local answers = {}
for i = 9, #ARGV, 7 do
  local taken, answer = pcall(accept, unpack(ARGV, i, i + 6))
  answers[#answers + 1] = taken and answer or {'error', type(answer) == 'table' and answer.err or tostring(answer)}
end
return answers

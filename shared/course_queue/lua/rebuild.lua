-- Mend what somebody overwrote or deleted of one course's keys, from what is left: its waiting jobs and its ledger.
-- What is as it should be stays as it is. It may be repeated.
-- ARGV: course, ready set, highest sequence that the ledger or a job has, how many jobs, their requests in the order of
--       their sequences, then the courses of the shard
-- Returns {requests put back, 1 if the counters were mended, 1 if the ready set was}.
local course_id, ready, highest, jobs = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local queue, counters = 'rq:queue:course-' .. course_id, 'cr:course:' .. course_id

local function is(key, kind)
  return redis.call('TYPE', key).ok == kind
end

-- A list that lacks nobody is left alone. Else those who wait stand in their order, and behind them what the list held
-- besides: accepted since the jobs were read, or no request. What has ended since then is not put back.
local function rebuild_queue()
  local listed, standing = is(queue, 'list') and redis.call('LRANGE', queue, 0, -1) or {}, {}
  for _, element in ipairs(listed) do
    standing[element] = true
  end
  local order, placed, put_back = {}, {}, 0
  for i = 5, 4 + jobs do
    local request = ARGV[i]
    if redis.call('HGET', 'rq:job:' .. request, 'status') == 'queued' then
      order[#order + 1], placed[request] = request, true
      put_back = put_back + (standing[request] and 0 or 1)
    end
  end
  if put_back == 0 and (#listed > 0 or is(queue, 'none')) then
    return 0
  end
  redis.call('DEL', queue)
  for _, request in ipairs(order) do
    redis.call('RPUSH', queue, request)
  end
  for _, element in ipairs(listed) do
    if not placed[element] then
      redis.call('RPUSH', queue, element)
    end
  end
  return put_back
end

-- Without its sequence a course would begin at 1 again, and the ledger would refuse its requests.
local function mend_counters()
  if not is(counters, 'hash') then
    redis.call('DEL', counters)
  end
  local sequence = tonumber(redis.call('HGET', counters, 'sequence') or 0)
  if sequence and sequence >= highest then
    return 0
  end
  redis.call('HSET', counters, 'sequence', highest)
  return 1
end

local function announce(course)
  return redis.call('EXISTS', 'rq:queue:course-' .. course) == 1 and redis.call('SADD', ready, course) or 0
end

local function mend_ready()
  local overwritten = not is(ready, 'set') and not is(ready, 'none')
  if overwritten then
    redis.call('DEL', ready)
  end
  local added = 0
  for i = 5 + jobs, #ARGV do
    added = added + announce(ARGV[i])
  end
  return (overwritten or added > 0) and 1 or 0
end

return {rebuild_queue(), mend_counters(), mend_ready()}

-- How much waits in some courses' queues, and since when. Only reads.
-- ARGV: courses
-- Returns {now (us), waiting, accepted at (us), finished, failed, ...}: four numbers per course, the second of the
-- head and 0 when there is none or it does not say. What is there and of the wrong type counts as nothing.
local now = redis.call('TIME')
local found = {now[1] * 1000000 + now[2]}

local function number(reply)
  return type(reply) == 'number' and reply or 0
end

local function accepted_at(queue)
  local head = redis.pcall('LINDEX', queue, 0)
  local data = type(head) == 'string' and redis.pcall('HGET', 'rq:job:' .. head, 'data')
  return type(data) == 'string' and tonumber(string.match(data, '"accepted_at_us":(%d+)')) or 0
end

for _, course in ipairs(ARGV) do
  local queue = 'rq:queue:course-' .. course
  local waiting = number(redis.pcall('LLEN', queue))
  found[#found + 1] = waiting
  found[#found + 1] = waiting > 0 and accepted_at(queue) or 0
  found[#found + 1] = number(redis.pcall('ZCARD', 'rq:finished:course-' .. course))
  found[#found + 1] = number(redis.pcall('ZCARD', 'rq:failed:course-' .. course))
end
return found

-- Take idle queues out of RQ's set of queues: empty, and nothing of theirs left to show.
-- KEYS: queues
-- ARGV: courses
-- Returns how many were retired.
local retired = 0
for _, course in ipairs(ARGV) do
  local queue = 'rq:queue:course-' .. course
  if redis.call('EXISTS', queue, 'rq:finished:course-' .. course, 'rq:failed:course-' .. course) == 0 then
    retired = retired + redis.call('SREM', KEYS[1], queue)
    redis.call('DEL', 'rq:workers:course-' .. course)
  end
end
return retired
